package storagetest

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/gabblehq/chat"
)

// RewindableStore makes of a store in this process one that can come back as it
// was earlier, and knows it: each Rewind and Restart begins another life of its
// data. Wrap it in [Shared] to have several servers use it. What other stores
// do not do, it does: it keeps all that was ever appended, to do it again.
type RewindableStore struct {
	fresh func() chat.Store

	mu      sync.Mutex
	store   chat.Store
	life    int
	lines   map[string]line // by room
	journal []func(chat.Store)
	marked  int // so much of the journal
	then    map[string]line
}

// line is the lineage of one room.
type line struct {
	epoch string
	life  int // of the last write
	past  []chat.Position
}

var (
	_ chat.Store        = (*RewindableStore)(nil)
	_ chat.RoomRemover  = (*RewindableStore)(nil)
	_ chat.EpochStarter = (*RewindableStore)(nil)
	_ Rewinding         = (*RewindableStore)(nil)
)

// Rewindable returns an empty store on top of those that fresh makes, which are
// empty and keep all that is appended to them.
func Rewindable(fresh func() chat.Store) *RewindableStore {
	return &RewindableStore{fresh: fresh, store: fresh(), lines: map[string]line{}}
}

// Store implements [Rewinding].
func (s *RewindableStore) Store() chat.Store { return s }

// Mark implements [Rewinding].
func (s *RewindableStore) Mark(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked, s.then = len(s.journal), maps.Clone(s.lines)
}

// Rewind implements [Rewinding]. Without a Mark, all is gone.
func (s *RewindableStore) Rewind(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = s.fresh()
	s.journal = s.journal[:s.marked]
	for _, again := range s.journal {
		again(s.store)
	}
	s.lines = map[string]line{}
	maps.Copy(s.lines, s.then)
	s.life++
}

// Restart implements [Rewinding].
func (s *RewindableStore) Restart(testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life++
}

// Append implements [chat.Store].
func (s *RewindableStore) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, there := s.lines[room]
	if there {
		head, err := s.store.Head(ctx, room)
		if err != nil {
			return nil, err
		}
		if l.life != s.life && len(changes) > 0 || known.Epoch == l.epoch && known.Rev > head.Rev {
			l.past = append([]chat.Position{{Epoch: l.epoch, Rev: head.Rev}}, l.past...)
			l.past = l.past[:min(len(l.past), chat.MaxPast)]
			l.epoch = rand.Text()
		}
	} else {
		l.epoch = rand.Text()
	}
	l.life = s.life
	results, err := s.store.Append(ctx, room, chat.Position{}, changes)
	if err != nil {
		return nil, err
	}
	changes = slices.Clone(changes)
	s.journal = append(s.journal, func(to chat.Store) {
		_, _ = to.Append(context.Background(), room, chat.Position{}, changes)
	})
	for i := range results {
		if p := &results[i].Position; p.Rev > 0 {
			p.Epoch, there = l.epoch, true
		}
	}
	if there {
		s.lines[room] = l
	}
	return results, nil
}

// Changes implements [chat.Store].
func (s *RewindableStore) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, err := s.store.Changes(ctx, room, after, limit)
	return s.show(room, page), err
}

// History implements [chat.Store].
func (s *RewindableStore) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, err := s.store.History(ctx, room, q)
	return s.show(room, page), err
}

// Head implements [chat.Store].
func (s *RewindableStore) Head(ctx context.Context, room string) (chat.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head, err := s.store.Head(ctx, room)
	if err == nil {
		head.Epoch = s.lines[room].epoch
	}
	return head, err
}

func (s *RewindableStore) show(room string, page chat.Page) chat.Page {
	if l, ok := s.lines[room]; ok {
		page.Head.Epoch, page.Past = l.epoch, l.past
	}
	return page
}

// NewEpoch implements [chat.EpochStarter].
func (s *RewindableStore) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head, err := s.store.Head(ctx, room)
	if err != nil {
		return head, err
	}
	s.lines[room] = line{epoch: rand.Text(), life: s.life}
	head.Epoch = s.lines[room].epoch
	return head, nil
}

// RemoveRoom implements [chat.RoomRemover], where the store below does.
func (s *RewindableStore) RemoveRoom(ctx context.Context, room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	below, ok := capability[chat.RoomRemover](s.store)
	if !ok {
		return chat.ErrUnsupported
	}
	if err := below.RemoveRoom(ctx, room); err != nil {
		return err
	}
	s.journal = append(s.journal, func(to chat.Store) {
		if r, ok := capability[chat.RoomRemover](to); ok {
			_ = r.RemoveRoom(context.Background(), room)
		}
	})
	delete(s.lines, room)
	return nil
}
