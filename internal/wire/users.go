package wire

import "unicode/utf8"

// User is a user as others see them.
type User struct {
	ID     string `json:"id,omitzero"`
	Name   string `json:"name,omitzero"`
	Avatar string `json:"avatar,omitzero"`
}

// ValidUserID reports whether id may name a user: 1 to 128 bytes of UTF-8
// without control characters. Of bytes that are no UTF-8 the wire would make
// U+FFFD, and one user of two.
func ValidUserID(id string) bool {
	return id != "" && len(id) <= MaxUserID && !hasControl(id) && utf8.ValidString(id)
}

func appendUser(b []byte, u *User) []byte {
	b = optString(open(b, ""), "id", u.ID)
	b = optString(b, "name", u.Name)
	return append(optString(b, "avatar", u.Avatar), '}')
}

func optUser(b []byte, name string, u *User) []byte {
	if *u == (User{}) {
		return b
	}
	return appendUser(appendKey(b, name), u)
}
