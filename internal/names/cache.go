package names

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// Lookup asks what users are called. It may leave some out, and should return
// when ctx ends.
type Lookup func(ctx context.Context, ids []string) ([]wire.User, error)

// Cache says what users are called. Who is connected is known; for others a
// Lookup is asked, and the answers are kept for a short while. All methods are
// safe for concurrent use.
type Cache struct {
	connected func(id string) *Identity
	lookup    Lookup

	lookups   atomic.Int32 // under way
	slowUntil atomic.Int64 // nanoseconds since the start
	start     time.Time

	mu     sync.Mutex
	cache  map[string]cached
	remote map[string]remote // those who have been connected to other servers, by id
}

type cached struct {
	user  wire.User
	until time.Time
}

// remote is who somebody was on another server, and until when that is taken for
// certain: the Lookup knows better in the end.
type remote struct {
	who   *Identity
	until time.Time
}

const (
	freshFor  = time.Minute
	maxCached = 4096
	// maxRemote bounds of whom this server knows from others what they are
	// called without looking at who is in a room.
	maxRemote = 64 << 10
	// lookupTimeout is how long a name is waited for, and maxLookups how many
	// lookups may be under way: one that has stalled must not stop those who can
	// do without.
	lookupTimeout = 2 * time.Second
	maxLookups    = 16
	// briefTimeout is how long a name is waited for by those who others wait
	// for, and slowFor how long they do without after there was none in time.
	briefTimeout = 100 * time.Millisecond
	slowFor      = 10 * time.Second
)

// New returns a Cache of what connected knows, nil where a user is not, and
// lookup, which may be nil.
func New(connected func(id string) *Identity, lookup Lookup) *Cache {
	return &Cache{connected: connected, lookup: lookup, start: time.Now()}
}

// Known returns the public description of a user as far as it can be had
// without a lookup.
func (c *Cache) Known(id string) wire.User {
	u, _ := c.recall(id, time.Now())
	return u
}

// Remote returns the record of a user who is connected to another server: one
// that all share who ask for it, and that names are known by. It keeps none of
// u's strings, which may be parts of something large.
func (c *Cache) Remote(u wire.User) *Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := time.Now().Add(freshFor)
	who := c.remote[u.ID].who
	if who != nil && who.Public() == u {
		c.remote[who.ID()] = remote{who, until}
		return who
	}
	if c.remote == nil {
		c.remote = make(map[string]remote)
	}
	delete(c.cache, u.ID) // it is older
	if who == nil && len(c.remote) >= maxRemote {
		for id := range c.remote { // any: who has it keeps it
			delete(c.remote, id)
			break
		}
	}
	u.Avatar = strings.Clone(u.Avatar)
	who = NewIdentity(u, nil, nil, Never)
	delete(c.remote, who.ID()) // the old key with the old record
	c.remote[who.ID()] = remote{who, until}
	return who
}

// One returns the public description of a user. It may ask the Lookup.
func (c *Cache) One(ctx context.Context, id string) wire.User {
	if u, fresh := c.recall(id, time.Now()); fresh || c.lookup == nil {
		return u
	}
	return c.Many(ctx, []string{id})(id)
}

// Many returns a func that describes any of the users. It may ask the Lookup,
// once; what cannot be found out in time is described by its id alone.
func (c *Cache) Many(ctx context.Context, ids []string) func(id string) wire.User {
	return c.describe(ctx, ids, lookupTimeout)
}

// Soon is Many for those who others wait for: it waits a moment at most, and
// not at all for a Lookup that has not answered lately.
func (c *Cache) Soon(ctx context.Context, ids []string) func(id string) wire.User {
	if int64(time.Since(c.start)) < c.slowUntil.Load() {
		return c.Known
	}
	return c.describe(ctx, ids, briefTimeout)
}

func (c *Cache) describe(ctx context.Context, ids []string, wait time.Duration) func(id string) wire.User {
	found := make(map[string]wire.User, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, ok := found[id]; ok || id == "" {
			continue
		}
		u, fresh := c.recall(id, now)
		found[id] = u
		if !fresh && c.lookup != nil {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		c.ask(ctx, missing, found, now, wait)
	}
	return func(id string) wire.User { return found[id] }
}

// recall returns what is known of a user without a lookup, and whether that is
// to be relied on.
func (c *Cache) recall(id string, now time.Time) (u wire.User, fresh bool) {
	if who := c.connected(id); who != nil {
		return who.Public(), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.cache[id]; ok && (a.user.Name != "" || a.user.Avatar != "") {
		return a.user, now.Before(a.until)
	} else if r := c.remote[id]; r.who != nil && (r.who.Name() != "" || r.who.rare != nil) {
		return r.who.Public(), c.lookup == nil || now.Before(r.until)
	} else if ok {
		return a.user, now.Before(a.until)
	}
	return wire.User{ID: id}, false
}

// ask has the Lookup describe users, in a goroutine of its own: one that does
// not return must not keep the caller.
func (c *Cache) ask(ctx context.Context, ids []string, found map[string]wire.User, now time.Time, wait time.Duration) {
	if c.lookups.Add(1) > maxLookups {
		c.lookups.Add(-1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	type answer struct {
		users []wire.User
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer c.lookups.Add(-1)
		var a answer
		a.err = work.Guard(func() (err error) {
			a.users, err = c.lookup(ctx, ids)
			return err
		})
		answers <- a
	}()
	ttl := freshFor
	select {
	case a := <-answers:
		for _, u := range a.users {
			if _, ok := found[u.ID]; ok {
				found[u.ID] = u
			}
		}
		if a.err != nil {
			ttl = time.Second // names come back soon after the trouble is over
		}
	case <-ctx.Done():
		ttl = time.Second
		c.slowUntil.Store(int64(time.Since(c.start) + slowFor))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cache == nil || len(c.cache)+len(ids) > maxCached {
		c.cache = make(map[string]cached)
	}
	for _, id := range ids {
		c.cache[id] = cached{found[id], now.Add(ttl)}
	}
}
