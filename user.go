package chat

import "time"

// User is who is speaking, as the host's Authenticate says. The host owns its
// users: the chat stores ids and shows names, nothing else.
type User struct {
	ID     string // 1 to 128 bytes of UTF-8 without control characters, required
	Name   string // shown to others, the first 256 bytes; empty: the id
	Avatar string // URL of at most 2,048 bytes, shown to others
	Roles  []string

	// Expires is when the session must have shown a fresh token; then it is
	// closed with 4003 token expired. Zero: never.
	Expires time.Time

	// Meta is the host's own, for Authorize and middleware to find again. It
	// is never sent or stored, and handed on as it is: the rest is copied.
	Meta any
}

// HasRole reports whether the user has the role.
func (u User) HasRole(role string) bool {
	for _, r := range u.Roles {
		if r == role {
			return true
		}
	}
	return false
}
