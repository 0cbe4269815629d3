package hub_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/hub"
)

// volume is a log of which nothing is in a ring: every change of it is its rev.
type volume struct {
	hub.Topic
	sub  hub.Sub
	id   byte
	page int64

	mu      sync.Mutex
	head    int64
	failing bool
}

func (v *volume) Fill(_ context.Context, epoch string, after int64) (hub.Page, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failing {
		return hub.Page{}, errors.New("the store is down")
	}
	p := hub.Page{Epoch: epoch, Through: min(after+v.page, v.head), Head: v.head}
	for rev := after + 1; rev <= p.Through; rev++ {
		p.Frames = append(p.Frames, hub.Frame{Rev: rev, Data: binary.AppendVarint([]byte{v.id}, rev)})
	}
	return p, nil
}

func (v *volume) Synced(string, int64) []byte { return []byte{v.id} }

// grow makes the log longer without telling what it is by now.
func (v *volume) grow() {
	v.mu.Lock()
	v.head++
	head := v.head
	v.mu.Unlock()
	v.Skip("e", head)
}

// shelf is a sink with a cursor in each of many logs.
type shelf struct {
	volumes []*volume

	mu      sync.Mutex
	room    int // frames that it takes before it refuses; negative: all
	cursors map[byte]int64
	synced  map[byte]bool
	wrong   error
	onWrite func()
}

func newShelf(h *hub.Hub, logs int, length, page int64) *shelf {
	s := &shelf{cursors: make(map[byte]int64), synced: make(map[byte]bool)}
	for i := range logs {
		v := &volume{id: byte(i), page: page, head: length}
		v.Init(h, v)
		s.volumes = append(s.volumes, v)
	}
	return s
}

// resume begins at the start of every log.
func (s *shelf) resume() {
	for _, v := range s.volumes {
		v.Attach(&v.sub, s, "e", 0, v.head, true)
	}
}

func (s *shelf) detach() {
	for _, v := range s.volumes {
		v.sub.Detach()
	}
}

func (s *shelf) Lane() int { return 1 }

func (s *shelf) Write(_ []byte, frames [][]byte) int {
	if s.onWrite != nil {
		s.onWrite()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range frames {
		if s.room == 0 {
			return i
		}
		s.room--
		if len(f) == 1 {
			s.synced[f[0]] = true
			continue
		}
		rev, _ := binary.Varint(f[1:])
		if rev != s.cursors[f[0]]+1 && s.wrong == nil {
			s.wrong = fmt.Errorf("log %d: rev %d after %d", f[0], rev, s.cursors[f[0]])
		}
		s.cursors[f[0]] = rev
	}
	return len(frames)
}

// open lets the sink take so many frames, and wakes it as its owner does.
func (s *shelf) open(n int) {
	s.mu.Lock()
	s.room = n
	s.mu.Unlock()
	for _, v := range s.volumes {
		v.sub.Wake()
	}
}

// Who comes back to many rooms at once costs what they are sent: no page is read
// that could not go out.
func TestPagesAreReadForOneCursorOfASinkAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const logs, length, page = 50, 20, 5
		h := hub.New(hub.Options{Lanes: 2})
		defer h.Close()
		s := newShelf(h, logs, length, page)
		defer s.detach()
		s.resume()
		synctest.Wait()
		require.EqualValues(t, 1, h.Stats().Fills, "it takes nothing")
		for n := 0; len(s.synced) < logs; n++ {
			require.Less(t, n, 10*logs, "it gets on")
			s.open(page)
			synctest.Wait()
		}
		require.NoError(t, s.wrong)
		for i := range logs {
			require.EqualValues(t, length, s.cursors[byte(i)])
		}
		// What of a page does not go out at once is read again.
		require.LessOrEqual(t, h.Stats().Fills, int64(2*logs*length/page))
	})
}

// While lanes come to nothing, no more pages are read than are offered.
func TestPagesDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sinks, fills = 60, 4
		h := hub.New(hub.Options{Lanes: 2, Fills: fills})
		defer h.Close()
		held := make(chan struct{})
		var all []*shelf
		for range sinks {
			s := newShelf(h, 1, 10, 10)
			s.room, s.onWrite = -1, func() { <-held }
			defer s.detach()
			all = append(all, s)
		}
		for _, s := range all {
			s.resume()
		}
		synctest.Wait()
		read := h.Stats().Fills
		close(held)
		require.LessOrEqual(t, read, int64(fills+2), "each lane has taken one")
		synctest.Wait()
		for _, s := range all {
			require.True(t, s.synced[0])
		}
	})
}

// A sink that is not served any more, a log that fails for a while, what comes
// in between: each cursor gets its turn.
func TestEveryCursorOfASinkGetsItsTurn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
			return op{
				Kind: rapid.SampledFrom([]string{"open", "open", "open", "detach", "fail", "heal", "grow", "second", "settle"}).Draw(t, "kind"),
				N:    rapid.IntRange(0, 9).Draw(t, "n"), Who: rapid.IntRange(0, 7).Draw(t, "who"),
			}
		}), 1, 60).Draw(rt, "steps")
		logs := rapid.IntRange(1, 8).Draw(rt, "logs")
		synctest.Test(t, func(t *testing.T) {
			h := hub.New(hub.Options{Lanes: 2, Fills: 2, Logger: slog.New(slog.DiscardHandler)})
			defer h.Close()
			s := newShelf(h, logs, 10, 3)
			defer s.detach()
			s.resume()
			gone := make(map[*volume]bool)
			for _, step := range steps {
				v := s.volumes[step.Who%logs]
				switch step.Kind {
				case "open":
					s.open(step.N)
				case "detach":
					v.sub.Detach()
					gone[v] = true
				case "fail", "heal":
					v.mu.Lock()
					v.failing = step.Kind == "fail"
					v.mu.Unlock()
				case "grow":
					v.grow()
				case "second":
					time.Sleep(time.Second)
				case "settle":
					synctest.Wait()
				}
			}
			for _, v := range s.volumes {
				v.mu.Lock()
				v.failing = false
				v.mu.Unlock()
			}
			s.open(-1)
			time.Sleep(time.Minute)
			synctest.Wait()
			if s.wrong != nil {
				rt.Fatal(s.wrong)
			}
			for _, v := range s.volumes {
				if !gone[v] && (s.cursors[v.id] != v.head || !s.synced[v.id]) {
					rt.Fatalf("log %d: at %d of %d, synced %v", v.id, s.cursors[v.id], v.head, s.synced[v.id])
				}
			}
		})
	})
}
