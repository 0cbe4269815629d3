package chat

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// profiles says what users are called. Who is connected is known; for others
// the host is asked, and the answers are kept for a short while.
type profiles struct {
	connected func(id string) *identity                       // nil: they are not
	lookup    func(context.Context, []string) ([]User, error) // nil: nobody to ask

	asked     atomic.Int32 // lookups under way
	slowUntil atomic.Int64 // nanoseconds since the start
	start     time.Time

	mu    sync.Mutex
	cache map[string]cached
	met   map[string]met // those who have been connected to other servers, by id
}

type cached struct {
	user  wire.User
	until time.Time
}

// met is who somebody was on another server, and until when that is taken for
// certain: the host knows better in the end.
type met struct {
	who   *identity
	until time.Time
}

const (
	profileTTL  = time.Minute
	maxProfiles = 4096
	// maxMet bounds of whom this server knows from others what they are called
	// without looking at who is in a room.
	maxMet = 64 << 10
	// askTimeout is how long a name is waited for, and asking how many
	// lookups may be under way: a host that has stalled must not stop those
	// who can do without.
	askTimeout = 2 * time.Second
	asking     = 16
	// askBriefly is how long a name is waited for by a whole room, and slowFor
	// how long rooms do without after a host has not answered in time.
	askBriefly = 100 * time.Millisecond
	slowFor    = 10 * time.Second
)

// known returns the public description of a user as far as it can be had
// without asking the host.
func (p *profiles) known(id string) wire.User {
	u, _ := p.recall(id, time.Now())
	return u
}

// meet returns the record of a user who is connected to another server: one
// that rooms share, and that names are known by. It keeps none of u's strings,
// which may be parts of something large.
func (p *profiles) meet(u *User) *identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := time.Now().Add(profileTTL)
	who := p.met[u.ID].who
	if who != nil && who.public() == public(u) {
		p.met[who.id()] = met{who, until}
		return who
	}
	if p.met == nil {
		p.met = make(map[string]met)
	}
	delete(p.cache, u.ID) // it is older
	if who == nil && len(p.met) >= maxMet {
		for id := range p.met { // any: rooms that have it keep it
			delete(p.met, id)
			break
		}
	}
	who = newIdentity(&User{ID: u.ID, Name: u.Name, Avatar: strings.Clone(u.Avatar)})
	delete(p.met, who.id()) // the old key with the old record
	p.met[who.id()] = met{who, until}
	return who
}

// one returns the public description of a user. It may ask the host.
func (p *profiles) one(ctx context.Context, id string) wire.User {
	if u, sure := p.recall(id, time.Now()); sure || p.lookup == nil {
		return u
	}
	return p.many(ctx, []string{id})(id)
}

// many returns a func that describes any of the users. It may ask the host,
// once; what cannot be found out in time is described by its id alone.
func (p *profiles) many(ctx context.Context, ids []string) func(id string) wire.User {
	return p.describe(ctx, ids, askTimeout)
}

// soon is many for those who others wait for: it waits a moment at most, and
// not at all for a host that has not answered lately.
func (p *profiles) soon(ctx context.Context, ids []string) func(id string) wire.User {
	if int64(time.Since(p.start)) < p.slowUntil.Load() {
		return p.known
	}
	return p.describe(ctx, ids, askBriefly)
}

func (p *profiles) describe(ctx context.Context, ids []string, wait time.Duration) func(id string) wire.User {
	found := make(map[string]wire.User, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, ok := found[id]; ok || id == "" {
			continue
		}
		u, sure := p.recall(id, now)
		found[id] = u
		if !sure && p.lookup != nil {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		p.ask(ctx, missing, found, now, wait)
	}
	return func(id string) wire.User { return found[id] }
}

// recall returns what is known of a user without asking, and whether that is
// to be relied on.
func (p *profiles) recall(id string, now time.Time) (u wire.User, sure bool) {
	if who := p.connected(id); who != nil {
		return who.public(), true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.cache[id]; ok && (c.user.Name != "" || c.user.Avatar != "") {
		return c.user, now.Before(c.until)
	} else if m := p.met[id]; m.who != nil && (m.who.name() != "" || m.who.rare != nil) {
		return m.who.public(), p.lookup == nil || now.Before(m.until)
	} else if ok {
		return c.user, now.Before(c.until)
	}
	return wire.User{ID: id}, false
}

// ask has the host describe users, in a goroutine of its own: host code that
// does not return must not keep the caller.
func (p *profiles) ask(ctx context.Context, ids []string, found map[string]wire.User, now time.Time, wait time.Duration) {
	if p.asked.Add(1) > asking {
		p.asked.Add(-1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	type answer struct {
		users []User
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer p.asked.Add(-1)
		var a answer
		a.err = guard(func() (err error) {
			a.users, err = p.lookup(ctx, ids)
			return err
		})
		answers <- a
	}()
	ttl := profileTTL
	select {
	case a := <-answers:
		for i := range a.users {
			if _, ok := found[a.users[i].ID]; ok {
				found[a.users[i].ID] = public(&a.users[i])
			}
		}
		if a.err != nil {
			ttl = time.Second // the host's trouble: names come back soon after it
		}
	case <-ctx.Done():
		ttl = time.Second
		p.slowUntil.Store(int64(time.Since(p.start) + slowFor))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cache == nil || len(p.cache)+len(ids) > maxProfiles {
		p.cache = make(map[string]cached)
	}
	for _, id := range ids {
		p.cache[id] = cached{found[id], now.Add(ttl)}
	}
}
