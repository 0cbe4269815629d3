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
	packed uint64 // when the token expires, see ends, 0: never; and, in the last byte, len(id)
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
	if avatar != "" || len(u.Roles) > 0 || u.Meta != nil {
		who.rare = &rarities{avatar, slices.Clone(u.Roles), u.Meta}
	}
	return who
}

func (who *identity) id() string   { return who.text[:who.packed&0xff] }
func (who *identity) name() string { return who.text[who.packed&0xff:] }

// identity makes the record of a user who has just been authenticated. How long
// the token lasts is found out once, by the clock that it was made with: from
// then on it ends by the monotonic clock.
func (s *Server) identity(u *User) *identity {
	who := newIdentity(u)
	if !u.Expires.IsZero() {
		now := time.Now()
		left := u.Expires.Sub(now)
		who.packed |= uint64(max((now.Sub(s.start)+left+time.Millisecond-1).Milliseconds(), 0)+1) << 8
	}
	return who
}

// connected returns who a user is that has a session here, else nil.
func (s *Server) connected(user string) *identity {
	if sess := s.users.Latest(user); sess != nil {
		if who := sess.user(); who.id() == user { // it may have become somebody else's meanwhile
			return who
		}
	}
	return nil
}

// ends is when the token expires, in milliseconds since the start of the Server,
// and whether it ever does.
func (who *identity) ends() (ms int64, ever bool) {
	return int64(who.packed>>8) - 1, who.packed>>8 != 0
}

// expires is when the token expires, by the monotonic clock; ok tells whether it
// ever does.
func (s *Server) expires(who *identity) (at time.Time, ok bool) {
	ms, ok := who.ends()
	return s.start.Add(time.Duration(ms) * time.Millisecond), ok
}

// user is the whole of it, for the host, which may do with it what it likes.
func (s *Server) user(who *identity) User {
	u := User{ID: who.id(), Name: who.name()}
	if at, ok := s.expires(who); ok {
		u.Expires = at.Round(0)
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
func (s *Server) expired(who *identity, now time.Time) bool {
	at, ok := s.expires(who)
	return ok && !now.Before(at)
}
