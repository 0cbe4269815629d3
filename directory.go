package chat

import (
	"hash/maphash"
	"sync"
)

// directory finds the sessions of a user. It holds one pointer for each user,
// to the latest session, which leads to the others through session.sibling:
// at the numbers of connections that a server is made for, a map from ids to
// accounts would cost more than the sessions' own state.
// The id of a session's user does not change while the session is in here.
type directory struct {
	seed   maphash.Seed
	shards [64]directoryShard
}

// directoryShard is an open-addressed hash table. Its lock guards the siblings
// of its sessions, too.
type directoryShard struct {
	mu    sync.Mutex
	slots []*session // a power of two of them, at most three quarters full
	users int
}

func (d *directory) init() { d.seed = maphash.MakeSeed() }

// lookup returns the user's shard, locked, and the slot where the user is or
// would be; -1 while there are no slots. The caller unlocks.
func (d *directory) lookup(user string) (sh *directoryShard, slot int, hash uint64) {
	hash = maphash.String(d.seed, user)
	sh = &d.shards[hash%uint64(len(d.shards))]
	sh.mu.Lock()
	return sh, sh.find(user, hash), hash
}

func (sh *directoryShard) find(user string, hash uint64) int {
	if len(sh.slots) == 0 {
		return -1
	}
	mask := len(sh.slots) - 1
	i := home(hash, mask)
	for sh.slots[i] != nil && sh.slots[i].who.Load().id() != user {
		i = (i + 1) & mask
	}
	return i
}

// home is the slot that a hash begins to look at. The low bits have chosen the
// shard.
func home(hash uint64, mask int) int { return int(hash>>8) & mask }

// head is the user's latest session, nil if there is none.
func (sh *directoryShard) head(slot int) *session {
	if slot < 0 {
		return nil
	}
	return sh.slots[slot]
}

// add puts the session under its user. Where that makes more than max, it
// takes the oldest one out and returns it: the caller closes it.
func (d *directory) add(s *session, user string, max int) (surplus *session) {
	sh, slot, hash := d.lookup(user)
	defer sh.mu.Unlock()
	if sh.head(slot) == nil {
		if 4*(sh.users+1) > 3*len(sh.slots) {
			sh.grow(d.seed)
			slot = sh.find(user, hash)
		}
		sh.users++
	}
	s.sibling = sh.slots[slot]
	sh.slots[slot] = s
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

func (sh *directoryShard) grow(seed maphash.Seed) {
	old := sh.slots
	sh.slots = make([]*session, max(8, 2*len(old)))
	for _, s := range old {
		if s != nil {
			id := s.who.Load().id()
			sh.slots[sh.find(id, maphash.String(seed, id))] = s
		}
	}
}

// remove takes the session out, if it is there.
func (d *directory) remove(s *session, user string) {
	sh, slot, _ := d.lookup(user)
	defer sh.mu.Unlock()
	if slot < 0 {
		return
	}
	for p := &sh.slots[slot]; *p != nil; p = &(*p).sibling {
		if *p == s {
			*p = s.sibling
			s.sibling = nil
			if sh.slots[slot] == nil {
				sh.close(d.seed, slot)
			}
			return
		}
	}
}

// close fills the gap that a user has left, so that whoever had been pushed
// past it is still found.
func (sh *directoryShard) close(seed maphash.Seed, gap int) {
	sh.users--
	mask := len(sh.slots) - 1
	for i := (gap + 1) & mask; sh.slots[i] != nil; i = (i + 1) & mask {
		at := home(maphash.String(seed, sh.slots[i].who.Load().id()), mask)
		if (i-at)&mask >= (i-gap)&mask { // its home is not behind the gap
			sh.slots[gap], sh.slots[i] = sh.slots[i], nil
			gap = i
		}
	}
}

// who returns the user if connected, else nil.
func (d *directory) who(user string) *identity {
	sh, slot, _ := d.lookup(user)
	defer sh.mu.Unlock()
	if s := sh.head(slot); s != nil {
		return s.who.Load()
	}
	return nil
}

// sessions returns the user's sessions, the latest first.
func (d *directory) sessions(user string) (list []*session) {
	sh, slot, _ := d.lookup(user)
	defer sh.mu.Unlock()
	for s := sh.head(slot); s != nil; s = s.sibling {
		list = append(list, s)
	}
	return list
}

// all returns every session that is authenticated.
func (d *directory) all() (list []*session) {
	for i := range d.shards {
		list = append(list, d.shard(i)...)
	}
	return list
}

// shard returns the sessions of one shard.
func (d *directory) shard(i int) (list []*session) {
	sh := &d.shards[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, s := range sh.slots {
		for ; s != nil; s = s.sibling {
			list = append(list, s)
		}
	}
	return list
}

// size counts the users.
func (d *directory) size() (n int) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		n += sh.users
		sh.mu.Unlock()
	}
	return n
}
