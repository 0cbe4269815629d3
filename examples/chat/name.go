package main

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

const (
	maxName      = 32 // characters
	maxNameBytes = 93 // of which an id of 125 bytes is made, 128 is the most
)

// cleanName returns a name as others will see it, or what is wrong with it.
func cleanName(s string) (string, *chat.Error) {
	name := strings.Join(strings.Fields(s), " ")
	n := utf8.RuneCountInString(name)
	if n < 1 || n > maxName || !utf8.ValidString(name) {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: "A name has 1 to 32 characters.", Field: "name"}
	}
	seen := false
	for _, r := range name {
		if !unicode.IsPrint(r) || blank(r) {
			return "", &chat.Error{Code: chat.CodeInvalid, Message: "A name has only characters that can be seen.", Field: "name"}
		}
		seen = seen || r != ' ' && !unicode.Is(unicode.M, r)
	}
	if !seen {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: "A name has at least one letter, digit or sign.", Field: "name"}
	}
	if len(strings.ToLower(name)) > maxNameBytes {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: "This name is too long; leave out some of its signs.", Field: "name"}
	}
	return name, nil
}

// blank reports the letters and symbols that look like nothing.
func blank(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0':
		return true
	}
	return false
}

// userID makes the id of a name, the same on every node. Capitals make no
// difference: Alice is alice. What is not plain is encoded, so that no two
// names share an id, and a node that has never met somebody finds the name in
// the id.
func userID(name string) string {
	lower := strings.ToLower(name)
	if plain(lower) {
		return lower
	}
	return encoded + base64.RawURLEncoding.EncodeToString([]byte(lower))
}

// nameOf returns the name of which userID has made the id, in small letters.
func nameOf(id string) string {
	if code, ok := strings.CutPrefix(id, encoded); ok {
		if name, err := base64.RawURLEncoding.DecodeString(code); err == nil {
			return string(name)
		}
	}
	return id
}

// encoded begins the ids of names that are not plain.
const encoded = "~"

// plain reports whether a name can be an id as it is: in a URL, too, where dots
// alone mean something else.
func plain(name string) bool {
	some := false
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			some = true
		case r == '_', r == '.', r == '-':
		default:
			return false
		}
	}
	return some
}
