package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/gabblehq/chat"
	"github.com/golang-jwt/jwt/v5"
)

// Sign returns a token for user that [JWT] with the same key accepts until ttl
// has passed. It is what a program with a login of its own hands to its web
// page, and what tests need; a host with an identity provider has tokens
// already.
//
// The token carries the user's ID, Name, Avatar and Roles for everybody who
// holds it to read. It cannot be taken back before it expires: keep ttl short
// and let clients fetch a fresh one. key is secret: at least 32 random bytes.
func Sign(key []byte, user chat.User, ttl time.Duration) (string, error) {
	if err := checkSecret(key, 32); err != nil {
		return "", fmt.Errorf("auth: Sign: %w", err)
	}
	if err := validID(user.ID); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", errors.New("auth: Sign: ttl is not positive")
	}
	now := time.Now()
	claims := jwt.MapClaims{
		"sub": user.ID,
		"iat": jwt.NewNumericDate(now),
		"exp": jwt.NewNumericDate(now.Add(ttl)),
	}
	if user.Name != "" {
		claims["name"] = user.Name
	}
	if user.Avatar != "" {
		claims["picture"] = user.Avatar
	}
	if len(user.Roles) > 0 {
		claims["roles"] = user.Roles
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
}
