package chat

import (
	"context"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// profiles says what users are called. Who is connected is known; for others
// the host is asked, and the answers are kept for a short while.
type profiles struct {
	dir    *directory
	lookup func(context.Context, []string) ([]User, error) // nil: nobody to ask

	mu    sync.Mutex
	cache map[string]cached
}

type cached struct {
	user  wire.User
	until time.Time
}

const (
	profileTTL  = time.Minute
	maxProfiles = 4096
)

func public(u *User) wire.User { return wire.User{ID: u.ID, Name: u.Name, Avatar: u.Avatar} }

// one returns the public description of a user.
func (p *profiles) one(ctx context.Context, id string) wire.User {
	return p.many(ctx, []string{id})(id)
}

// many returns a func that describes any of the users. It may call the host,
// once; what cannot be found out is described by its id alone.
func (p *profiles) many(ctx context.Context, ids []string) func(id string) wire.User {
	known := make(map[string]wire.User, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, ok := known[id]; ok || id == "" {
			continue
		}
		known[id] = wire.User{ID: id}
		if u := p.dir.who(id); u != nil {
			known[id] = public(u)
		} else if p.lookup != nil {
			p.mu.Lock()
			c, ok := p.cache[id]
			p.mu.Unlock()
			if ok && now.Before(c.until) {
				known[id] = c.user
			} else {
				missing = append(missing, id)
			}
		}
	}
	if len(missing) > 0 {
		p.ask(ctx, missing, known, now)
	}
	return func(id string) wire.User { return known[id] }
}

func (p *profiles) ask(ctx context.Context, ids []string, known map[string]wire.User, now time.Time) {
	var users []User
	err := guard(func() (err error) {
		users, err = p.lookup(ctx, ids)
		return err
	})
	for i := range users {
		if _, ok := known[users[i].ID]; ok {
			known[users[i].ID] = public(&users[i])
		}
	}
	ttl := profileTTL
	if err != nil {
		ttl = time.Second // the host's trouble: names come back soon after it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cache == nil || len(p.cache)+len(ids) > maxProfiles {
		p.cache = make(map[string]cached)
	}
	for _, id := range ids {
		p.cache[id] = cached{known[id], now.Add(ttl)}
	}
}
