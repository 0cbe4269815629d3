package memory

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/gabblehq/chat"
)

// peers are the keys of the direct rooms of each user, sorted.
type peers struct {
	mu   sync.Mutex
	keys map[string][]string
}

func (p *peers) add(key string, users []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range users {
		list := p.keys[user]
		i, found := slices.BinarySearch(list, key)
		if found {
			continue
		}
		if p.keys == nil {
			p.keys = make(map[string][]string)
		}
		p.keys[user] = slices.Insert(list, i, key)
	}
}

func (p *peers) remove(key string, users []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, user := range users {
		list := p.keys[user]
		i, found := slices.BinarySearch(list, key)
		switch {
		case !found:
		case len(list) == 1:
			delete(p.keys, user)
		default:
			p.keys[user] = slices.Delete(list, i, i+1)
		}
	}
}

// after returns at most n keys of the user's with the prefix that sort after
// after.
func (p *peers) after(user, prefix, after string, n int) (keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.keys[user]
	i, found := slices.BinarySearch(list, max(prefix, after))
	if found && after >= prefix {
		i++
	}
	for _, key := range list[i:] {
		if len(keys) == n || !strings.HasPrefix(key, prefix) {
			break
		}
		keys = append(keys, key)
	}
	return keys
}

// ListDirect implements [chat.DirectLister].
func (s *Store) ListDirect(ctx context.Context, prefix, user, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	if err := alive(ctx); err != nil {
		return nil, false, err
	}
	limit = max(limit, 0)
	keys := s.peers.after(user, prefix, after, limit+1)
	if len(keys) > limit {
		keys, more = keys[:limit], true
	}
	for _, key := range keys {
		sum, err := s.summary(ctx, key)
		switch {
		case err == nil:
			rooms = append(rooms, sum)
		case ctx.Err() != nil:
			return nil, false, err
		} // else it has just been removed
	}
	return rooms, more, nil
}

func (s *Store) summary(ctx context.Context, key string) (chat.RoomSummary, error) {
	sum := chat.RoomSummary{Key: key}
	err := s.read(ctx, key, func(r *room) {
		sum.Room, sum.Head = cloneRoom(r.info), r.head()
		if m := r.bySeq(r.seq); m != nil && !m.Deleted() {
			sum.LastMessage = new(chat.Message)
			copyMessage(sum.LastMessage, m)
		}
	})
	return sum, err
}
