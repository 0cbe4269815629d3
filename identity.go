package chat

import (
	"slices"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// identity is who somebody is, as the server keeps it of everybody who is
// connected: a third of the size of a [User], with the id and the name in one
// piece of memory that is nobody else's. It is never changed.
type identity struct {
	text   string // id and name
	packed uint64 // when the token expires, Unix milliseconds, 0: never; and, in the last byte, len(id)
	rare   *rarities
}

// rarities are what most users do not have.
type rarities struct {
	avatar string
	roles  []string
	meta   any
}

func newIdentity(u *User) *identity {
	name, avatar := label(u.Name), public(u).Avatar
	who := &identity{text: u.ID + name, packed: uint64(len(u.ID))} // at most 128, see wire.ValidUserID
	if !u.Expires.IsZero() {
		who.packed |= uint64(max(u.Expires.UnixMilli(), 1)) << 8
	}
	if avatar != "" || len(u.Roles) > 0 || u.Meta != nil {
		who.rare = &rarities{avatar, slices.Clone(u.Roles), u.Meta}
	}
	return who
}

func (who *identity) id() string   { return who.text[:who.packed&0xff] }
func (who *identity) name() string { return who.text[who.packed&0xff:] }

// expires is in Unix milliseconds; 0 means never.
func (who *identity) expires() int64 { return int64(who.packed >> 8) }

// user is the whole of it, for the host, which may do with it what it likes.
func (who *identity) user() User {
	u := User{ID: who.id(), Name: who.name()}
	if who.expires() != 0 {
		u.Expires = time.UnixMilli(who.expires())
	}
	if who.rare != nil {
		u.Avatar, u.Roles, u.Meta = who.rare.avatar, slices.Clone(who.rare.roles), who.rare.meta
	}
	return u
}

// public is what others may see.
func (who *identity) public() wire.User {
	u := wire.User{ID: who.id(), Name: who.name()}
	if who.rare != nil {
		u.Avatar = who.rare.avatar
	}
	return u
}

// expired reports whether a fresh token should have been shown by now.
func (who *identity) expired(now time.Time) bool {
	return who.expires() != 0 && who.expires() <= now.UnixMilli()
}
