// Package directory finds what there are many of under each key, at a pointer
// for each key.
package directory

import (
	"hash/maphash"
	"sync"
)

// Entry is a pointer to what a Directory finds.
type Entry[E any] interface {
	comparable
	// Key does not change while the entry is in the directory.
	Key() string
	// Next is where the directory keeps the next entry of the same key, nil
	// where there is none. Nobody else uses it.
	Next() *E
}

// Shards is in how many parts a Directory is locked.
const Shards = 64

// Directory finds entries by their keys. It holds one pointer for each key, to
// the latest entry, which leads to the others: at the numbers of connections
// that it is made for, a map to lists would cost more than the entries' own
// state. All methods are safe for concurrent use.
type Directory[E Entry[E]] struct {
	seed   maphash.Seed
	shards [Shards]shard[E]
}

// shard is an open-addressed hash table. Its lock guards the links of its
// entries, too.
type shard[E Entry[E]] struct {
	mu    sync.Mutex
	slots []E // a power of two of them, at most three quarters full
	keys  int
}

// New returns an empty Directory.
func New[E Entry[E]]() *Directory[E] { return &Directory[E]{seed: maphash.MakeSeed()} }

// lookup returns the key's shard, locked, and the slot where the key is or
// would be; -1 while there are no slots. The caller unlocks.
func (d *Directory[E]) lookup(key string) (sh *shard[E], slot int, hash uint64) {
	hash = maphash.String(d.seed, key)
	sh = &d.shards[hash%Shards]
	sh.mu.Lock()
	return sh, sh.find(key, hash), hash
}

func (sh *shard[E]) find(key string, hash uint64) int {
	if len(sh.slots) == 0 {
		return -1
	}
	var none E
	mask := len(sh.slots) - 1
	i := home(hash, mask)
	for sh.slots[i] != none && sh.slots[i].Key() != key {
		i = (i + 1) & mask
	}
	return i
}

// home is the slot that a hash begins to look at. The low bits have chosen the
// shard.
func home(hash uint64, mask int) int { return int(hash>>8) & mask }

// head is the latest entry of a slot's key, nil if there is none.
func (sh *shard[E]) head(slot int) (e E) {
	if slot >= 0 {
		e = sh.slots[slot]
	}
	return e
}

// Add puts an entry under its key. Where that makes more than max, it takes the
// oldest one out and returns it; else it returns nil.
func (d *Directory[E]) Add(e E, max int) (surplus E) {
	var none E
	sh, slot, hash := d.lookup(e.Key())
	defer sh.mu.Unlock()
	if sh.head(slot) == none {
		if 4*(sh.keys+1) > 3*len(sh.slots) {
			sh.grow(d.seed)
			slot = sh.find(e.Key(), hash)
		}
		sh.keys++
	}
	*e.Next() = sh.slots[slot]
	sh.slots[slot] = e
	n := 1
	for p := e.Next(); *p != none; p = (*p).Next() {
		if n++; n > max && *(*p).Next() == none {
			surplus, *p = *p, none
			break
		}
	}
	return surplus
}

func (sh *shard[E]) grow(seed maphash.Seed) {
	var none E
	old := sh.slots
	sh.slots = make([]E, max(8, 2*len(old)))
	for _, e := range old {
		if e != none {
			sh.slots[sh.find(e.Key(), maphash.String(seed, e.Key()))] = e
		}
	}
}

// Remove takes an entry out from under a key, if it is there.
func (d *Directory[E]) Remove(e E, key string) {
	var none E
	sh, slot, _ := d.lookup(key)
	defer sh.mu.Unlock()
	if slot < 0 {
		return
	}
	for p := &sh.slots[slot]; *p != none; p = (*p).Next() {
		if *p == e {
			*p = *e.Next()
			*e.Next() = none
			if sh.slots[slot] == none {
				sh.close(d.seed, slot)
			}
			return
		}
	}
}

// close fills the gap that a key has left, so that whatever had been pushed
// past it is still found.
func (sh *shard[E]) close(seed maphash.Seed, gap int) {
	var none E
	sh.keys--
	mask := len(sh.slots) - 1
	for i := (gap + 1) & mask; sh.slots[i] != none; i = (i + 1) & mask {
		at := home(maphash.String(seed, sh.slots[i].Key()), mask)
		if (i-at)&mask >= (i-gap)&mask { // its home is not behind the gap
			sh.slots[gap], sh.slots[i] = sh.slots[i], none
			gap = i
		}
	}
}

// Latest returns the latest entry under a key, nil where there is none.
func (d *Directory[E]) Latest(key string) E {
	sh, slot, _ := d.lookup(key)
	defer sh.mu.Unlock()
	return sh.head(slot)
}

// Under returns the entries under a key, the latest first.
func (d *Directory[E]) Under(key string) (list []E) {
	sh, slot, _ := d.lookup(key)
	defer sh.mu.Unlock()
	return chain(list, sh.head(slot))
}

// chain appends an entry and those that it leads to.
func chain[E Entry[E]](list []E, e E) []E {
	var none E
	for ; e != none; e = *e.Next() {
		list = append(list, e)
	}
	return list
}

// All returns every entry.
func (d *Directory[E]) All() (list []E) {
	for i := range d.shards {
		list = append(list, d.Shard(i)...)
	}
	return list
}

// Shard returns the entries of one of the Shards.
func (d *Directory[E]) Shard(i int) (list []E) {
	sh := &d.shards[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, e := range sh.slots {
		list = chain(list, e)
	}
	return list
}

// Len counts the keys.
func (d *Directory[E]) Len() (n int) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		n += sh.keys
		sh.mu.Unlock()
	}
	return n
}
