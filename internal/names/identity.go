// Package names knows who users are, of everybody who is connected in as few
// bytes as it takes, and what those are called who are not.
package names

import (
	"slices"
	"strings"

	"github.com/gabblehq/chat/internal/wire"
)

// Identity is who somebody is, as it is kept of everybody who is connected: with
// the id and the name in one piece of memory that is nobody else's. It is never
// changed.
type Identity struct {
	text   string // id and name
	packed uint64 // end + 1, 0: never; and, in the last byte, len(id)
	rare   *rare
}

// rare is what most users do not have.
type rare struct {
	avatar string
	roles  []string
	meta   any
}

// Never is the end of an Identity that has none.
const Never = -1

// NewIdentity returns the record of a user, whose id has at most 255 bytes. end
// is in milliseconds since whatever the caller counts from.
func NewIdentity(u wire.User, roles []string, meta any, end int64) *Identity {
	text := u.ID + u.Name
	if u.Name == "" {
		text = strings.Clone(u.ID) // which + does not do then
	}
	who := &Identity{text: text, packed: uint64(end+1)<<8 | uint64(len(u.ID))}
	if u.Avatar != "" || len(roles) > 0 || meta != nil {
		who.rare = &rare{u.Avatar, slices.Clone(roles), meta}
	}
	return who
}

// ID is the user's id.
func (who *Identity) ID() string { return who.text[:who.packed&0xff] }

// Name is what they are called, "" where that is not known.
func (who *Identity) Name() string { return who.text[who.packed&0xff:] }

// End is when it ends, and whether it ever does.
func (who *Identity) End() (end int64, ever bool) {
	return int64(who.packed>>8) - 1, who.packed>>8 != 0
}

// Roles are a copy of the user's roles.
func (who *Identity) Roles() []string {
	if who.rare == nil {
		return nil
	}
	return slices.Clone(who.rare.roles)
}

// Meta is what came with the user.
func (who *Identity) Meta() any {
	if who.rare == nil {
		return nil
	}
	return who.rare.meta
}

// Public is what others may see.
func (who *Identity) Public() wire.User {
	u := wire.User{ID: who.ID(), Name: who.Name()}
	if who.rare != nil {
		u.Avatar = who.rare.avatar
	}
	return u
}
