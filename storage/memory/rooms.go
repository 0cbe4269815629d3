package memory

import (
	"context"
	"slices"
	"strings"

	"github.com/gabblehq/chat"
)

// keyList is the sorted keys of all rooms as they were at a count of Store.gen.
type keyList struct {
	gen  uint64
	keys []string
}

// sortedKeys is sorted anew only after rooms have come or gone.
func (s *Store) sortedKeys() []string {
	gen := s.gen.Load() // first: a room that comes meanwhile makes the list old
	if l := s.keys.Load(); l != nil && l.gen == gen {
		return l.keys
	}
	var keys []string
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		keys = slices.Grow(keys, len(sh.rooms))
		for key := range sh.rooms {
			keys = append(keys, key)
		}
		sh.mu.RUnlock()
	}
	slices.Sort(keys)
	s.keys.Store(&keyList{gen, keys})
	return keys
}

// ListRooms implements [chat.RoomLister].
func (s *Store) ListRooms(ctx context.Context, prefix, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	if err := alive(ctx); err != nil {
		return nil, false, err
	}
	keys := s.sortedKeys()
	i, found := slices.BinarySearch(keys, max(prefix, after))
	if found && after >= prefix {
		i++
	}
	for _, key := range keys[i:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(rooms) >= limit {
			return rooms, true, nil
		}
		sum, err := s.summary(ctx, key)
		switch {
		case err == nil:
			rooms = append(rooms, sum)
		case ctx.Err() != nil:
			return nil, false, err
		} // else it has just been removed
	}
	return rooms, false, nil
}

// RemoveRoom implements [chat.RoomRemover].
func (s *Store) RemoveRoom(ctx context.Context, key string) error {
	if err := alive(ctx); err != nil {
		return err
	}
	sh := s.shard(key)
	sh.mu.Lock()
	r := sh.rooms[key]
	if r == nil {
		sh.mu.Unlock()
		return errNoRoom
	}
	delete(sh.rooms, key)
	if len(sh.rooms) == 0 {
		sh.rooms = nil
	}
	s.gen.Add(1)
	s.peers.remove(key, r.info.Peers)
	sh.mu.Unlock()
	// Calls that found it before are let through or sent to look again.
	r.mu.Lock()
	r.gone = true
	r.mu.Unlock()
	return nil
}

// KeepsAll implements [chat.Retainer].
func (s *Store) KeepsAll() bool { return s.opts.MaxMessages < 0 && s.opts.MaxAge == 0 }

// Trim implements [chat.Trimmer].
func (s *Store) Trim(ctx context.Context, key string, keep int) error {
	if err := alive(ctx); err != nil {
		return err
	}
	r := s.room(key)
	if r == nil {
		return errNoRoom
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.msgs.len() > max(keep, 1) {
		r.drop()
	}
	return nil
}

// NewEpoch implements [chat.EpochStarter].
func (s *Store) NewEpoch(ctx context.Context, key string) (chat.Position, error) {
	if err := alive(ctx); err != nil {
		return chat.Position{}, err
	}
	for {
		r := s.room(key)
		if r == nil {
			return chat.Position{}, errNoRoom
		}
		r.mu.Lock()
		gone := r.gone
		if !gone {
			r.epoch = newEpoch()
		}
		head := r.head()
		r.mu.Unlock()
		if !gone {
			return head, nil
		}
	}
}
