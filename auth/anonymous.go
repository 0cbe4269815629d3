package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

const (
	minGuestSecret = 16 // characters; clients should use more, such as a UUID
	maxGuestName   = 64 // characters
)

// Anonymous lets everybody in as a guest. It never fails.
//
// A guest's id is always "guest-" and 26 letters and digits, out of reach of
// anybody who would like to be somebody else. It is random, and new with each
// connection, unless the client brings a secret of its own making as bearer
// token, at least 16 characters with 8 different ones: the id is then a hash
// of it, and the guest stays the same over reconnects and reloads. The secret
// is a password: let it be random (crypto.randomUUID() in a browser), never a
// name. A shorter one counts as none.
//
// A name may follow the secret after a colon, URL-encoded, at most 64
// characters: "Bearer 3e8b6f0c-….:Ada%20Lovelace". It is only for show. As
// anybody may claim any name, others see "Ada Lovelace (guest)"; without one
// they see "Guest" and the beginning of the id. Nothing in the URL counts.
//
// Guests have the role "guest", by which Authorize can tell them from users.
func Anonymous() chat.Authenticator {
	return func(r *http.Request) (chat.User, error) {
		id, name := strings.ToLower(rand.Text()), ""
		if token, ok := BearerToken(r); ok {
			secret, shown, _ := strings.Cut(token, ":")
			if guestSecret(secret) {
				id = guestID(secret)
			}
			name = guestName(shown)
		}
		if name == "" {
			name = "Guest " + id[:5]
		}
		return chat.User{ID: "guest-" + id, Name: name, Roles: []string{"guest"}}, nil
	}
}

// guestSecret reports whether s could be random. It catches "aaaaaaaaaaaaaaaa",
// not a bad generator.
func guestSecret(s string) bool {
	if len(s) < minGuestSecret {
		return false
	}
	var seen [128]bool
	different := 0
	for i := range len(s) { // bearer tokens are ASCII
		if !seen[s[i]] {
			seen[s[i]] = true
			different++
		}
	}
	return different >= 8
}

// guestID hashes to 130 bits: with fewer, somebody could search for another
// secret with the same id.
func guestID(secret string) string {
	sum := sha256.Sum256([]byte("gabble guest\x00" + secret))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// guestName returns what may be shown of a name, or nothing. Characters that
// are invisible or turn the writing direction are not a guest's to use.
func guestName(encoded string) string {
	name, err := url.PathUnescape(encoded)
	if err != nil || !utf8.ValidString(name) {
		return ""
	}
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > maxGuestName {
		return ""
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return ""
		}
	}
	return name + " (guest)"
}
