package auth

import (
	"errors"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

// admitted is the last check of every Authenticator: what a lookup, a claim or
// a header says is used as a key and shown to others, so it must be sane.
func admitted(user chat.User) (chat.User, error) {
	if err := validID(user.ID); err != nil {
		return chat.User{}, refused(err)
	}
	if !user.Expires.IsZero() && !user.Expires.After(time.Now()) {
		return chat.User{}, refused(errors.New("auth: the user's Expires has passed"))
	}
	return user, nil
}

func validID(id string) error {
	switch {
	case id == "":
		return errors.New("auth: the user has no id")
	case len(id) > 128:
		return errors.New("auth: the user's id is longer than 128 bytes")
	case !utf8.ValidString(id):
		return errors.New("auth: the user's id is not UTF-8")
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return errors.New("auth: the user's id holds a control character")
		}
	}
	return nil
}
