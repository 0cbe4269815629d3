package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

const maxName = 32 // characters

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

// userID makes the id of a name. What fits is taken as it is, in lower case, so
// that Alice is alice; everything else gets a hash of the name at its end, so
// that no two names share an id by losing what tells them apart.
func userID(name string) string {
	lower := strings.ToLower(name)
	plain, some := true, false
	slug := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			some = true
			return r
		case r == '_', r == '.', r == '-':
			return r
		}
		plain = false
		return '-'
	}, lower)
	if plain && some {
		return slug
	}
	sum := sha256.Sum256([]byte(lower))
	return strings.TrimLeft(strings.Trim(slug, "-")+"-", "-") + hex.EncodeToString(sum[:4])
}
