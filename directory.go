package chat

import (
	"hash/maphash"
	"sync"
)

// account is a user who is connected to this server, through however many
// sessions.
type account struct {
	who      *User    // as the host said last; replaced as a whole, never changed
	sessions *session // linked by session.sibling
}

// directory holds the accounts. Its locks guard accounts and sibling links.
type directory struct {
	seed   maphash.Seed
	shards [64]accountShard
}

type accountShard struct {
	mu    sync.Mutex
	users map[string]account
}

func (d *directory) init() {
	d.seed = maphash.MakeSeed()
	for i := range d.shards {
		d.shards[i].users = make(map[string]account)
	}
}

func (d *directory) shard(user string) *accountShard {
	return &d.shards[maphash.String(d.seed, user)%uint64(len(d.shards))]
}

// add puts the session under its user. Where that makes more than max, it
// takes the oldest one out and returns it: the caller closes it.
func (d *directory) add(s *session, who *User, max int) (surplus *session) {
	sh := d.shard(who.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.sibling = sh.users[who.ID].sessions
	sh.users[who.ID] = account{who, s}
	n := 1
	for p := &s.sibling; *p != nil; p = &(*p).sibling {
		if n++; n > max && (*p).sibling == nil {
			surplus = *p
			*p = nil
			break
		}
	}
	return surplus
}

func (d *directory) remove(s *session, user string) {
	sh := d.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	a := sh.users[user]
	for p := &a.sessions; *p != nil; p = &(*p).sibling {
		if *p == s {
			*p = s.sibling
			s.sibling = nil
			break
		}
	}
	if a.sessions == nil {
		delete(sh.users, user)
	} else {
		sh.users[user] = a
	}
}

// update makes who the user's newest description.
func (d *directory) update(who *User) {
	sh := d.shard(who.ID)
	sh.mu.Lock()
	if a, ok := sh.users[who.ID]; ok {
		sh.users[who.ID] = account{who, a.sessions}
	}
	sh.mu.Unlock()
}

// who returns the user if connected, else nil.
func (d *directory) who(user string) *User {
	sh := d.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.users[user].who
}

// sessions returns the user's sessions, the latest first.
func (d *directory) sessions(user string) (list []*session) {
	sh := d.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for s := sh.users[user].sessions; s != nil; s = s.sibling {
		list = append(list, s)
	}
	return list
}

// all returns every session that is authenticated.
func (d *directory) all() (list []*session) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		for _, a := range sh.users {
			for s := a.sessions; s != nil; s = s.sibling {
				list = append(list, s)
			}
		}
		sh.mu.Unlock()
	}
	return list
}

// size counts the users.
func (d *directory) size() (n int) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		n += len(sh.users)
		sh.mu.Unlock()
	}
	return n
}
