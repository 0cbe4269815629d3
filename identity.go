package chat

import (
	"context"
	"math"
	"time"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

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
