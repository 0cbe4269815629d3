package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gabblehq/chat"
)

// standardClaims is the default of JWTOptions.Claims. A claim of the wrong
// type is an error: a user with half of their roles would be a riddle.
func standardClaims(_ context.Context, claims map[string]any) (chat.User, error) {
	var user chat.User
	for name, field := range map[string]*string{"sub": &user.ID, "name": &user.Name, "picture": &user.Avatar} {
		value, ok := claims[name].(string)
		if !ok && claims[name] != nil {
			return chat.User{}, fmt.Errorf("auth: claim %s is not a string", name)
		}
		*field = value
	}
	if !strings.HasPrefix(user.Avatar, "https://") && !strings.HasPrefix(user.Avatar, "http://") {
		user.Avatar = ""
	}
	roles, ok := claims["roles"].([]any)
	if !ok && claims["roles"] != nil {
		return chat.User{}, errors.New("auth: claim roles is not an array")
	}
	for _, r := range roles {
		role, ok := r.(string)
		if !ok {
			return chat.User{}, errors.New("auth: claim roles holds what is not a string")
		}
		user.Roles = append(user.Roles, role)
	}
	return user, nil
}
