package chat

import (
	"context"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

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

// public is what others may see of a user. Names and avatars are only for show:
// what cannot be shown of them is left out, and keeps nobody out.
func public(u *User) wire.User { return shown(wire.User{ID: u.ID, Name: u.Name, Avatar: u.Avatar}) }

func shown(u wire.User) wire.User {
	if u.Name = label(u.Name); !wire.Visible(u.Name) {
		u.Name = ""
	}
	if !wire.ValidURL(u.Avatar) {
		u.Avatar = ""
	}
	return u
}

// label returns what can be shown of a name, on one line.
func label(s string) string {
	if !line(s) {
		s = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, "\ufffd"))
	}
	return cut(s, maxName)
}

// line reports whether s is UTF-8 without control characters.
func line(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// identity makes the record of a user who has just been authenticated. How long
// the token lasts is found out once, by the clock that it was made with: from
// then on it ends by the monotonic clock.
func (s *Server) identity(u *User) *names.Identity {
	end := int64(names.Never)
	if !u.Expires.IsZero() {
		now := time.Now()
		passed := now.Sub(s.start)
		// Sub says the same of all that is more than 292 years ahead, as "never"
		// often is: nothing may be added to that.
		left := min(u.Expires.Sub(now), math.MaxInt64-passed-time.Millisecond)
		end = max((passed + left + time.Millisecond - 1).Milliseconds(), 0)
	}
	return names.NewIdentity(public(u), u.Roles, u.Meta, end)
}

// newNames returns what knows what users are called: those who have a session,
// and others whom ask, the host's, may know; it may be nil.
func newNames(users *directory.Directory[*session], ask func(context.Context, []string) ([]User, error)) *names.Cache {
	connected := func(id string) *names.Identity {
		if s := users.Latest(id); s != nil {
			if who := s.user(); who.ID() == id { // it may have become somebody else's meanwhile
				return who
			}
		}
		return nil
	}
	if ask == nil {
		return names.New(connected, nil)
	}
	return names.New(connected, func(ctx context.Context, ids []string) ([]wire.User, error) {
		list, err := ask(ctx, ids)
		shown := make([]wire.User, len(list))
		for i := range list {
			shown[i] = public(&list[i])
		}
		return shown, err
	})
}

// expires is when the token expires, by the monotonic clock; ok tells whether it
// ever does.
func (s *Server) expires(who *names.Identity) (at time.Time, ok bool) {
	ms, ok := who.End()
	return s.start.Add(time.Duration(ms) * time.Millisecond), ok
}

// expired reports whether a fresh token should have been shown by now.
func (s *Server) expired(who *names.Identity, now time.Time) bool {
	at, ok := s.expires(who)
	return ok && !now.Before(at)
}

// user is the whole of it, for the host, which may do with it what it likes.
func (s *Server) user(who *names.Identity) User {
	u := User{ID: who.ID(), Name: who.Name(), Avatar: who.Public().Avatar, Roles: who.Roles(), Meta: who.Meta()}
	if at, ok := s.expires(who); ok {
		u.Expires = at.Round(0)
	}
	return u
}
