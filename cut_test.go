package chat_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/wire"
)

// cutConn is a connection that breaks when left bytes have come out of it.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		_ = c.Close()
		return 0, errors.New("cut")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// replica is what a client keeps of a room, by the rules of docs/protocol.md.
type replica struct {
	epoch  string
	pos    int64
	msgs   map[string]wire.Message
	seen   map[int64]bool // revs of change frames
	resets int
	frames int
}

func (r *replica) merge(m wire.Message) {
	if old, ok := r.msgs[m.ID]; !ok || m.Rev > old.Rev {
		r.msgs[m.ID] = m
	}
}

func (r *replica) startOver(ev *wire.Event) {
	r.epoch, r.pos = ev.Epoch, ev.Head
	r.msgs = make(map[string]wire.Message)
	for _, m := range ev.Messages {
		r.merge(m)
	}
}

// handle takes a frame; last is the highest rev of this connection.
func (r *replica) handle(ev *wire.Event, after, last int64) (int64, error) {
	switch ev.Type {
	case "message", "edit", "delete", "room":
		rev := ev.Rev
		switch {
		case rev <= after:
			return last, fmt.Errorf("rev %d in a session from %d", rev, after)
		case rev <= last:
			return last, fmt.Errorf("rev %d after %d", rev, last)
		case r.seen[rev]:
			return last, fmt.Errorf("rev %d twice", rev)
		}
		r.seen[rev] = true
		r.frames++
		if ev.Type != "room" {
			r.merge(ev.Message)
		}
		r.pos = rev
		return rev, nil
	case "synced":
		if ev.Rev < r.pos {
			return last, fmt.Errorf("synced at %d, behind %d", ev.Rev, r.pos)
		}
		r.pos = ev.Rev
	case "joined":
		if r.epoch == "" || ev.Reset {
			r.startOver(ev)
			r.resets++
		} else if len(ev.Messages) > 0 || ev.Epoch != r.epoch {
			return last, fmt.Errorf("resumed with %+v", ev)
		}
	case "reset":
		r.startOver(ev)
		r.resets++
	case "error":
		return last, fmt.Errorf("error %s %s", ev.Code, ev.Text)
	}
	return last, nil
}

// session follows the room over one connection until that is cut, or until
// written says that nobody writes any more and the room's end has been seen.
func (r *replica) session(s *host, conn net.Conn, written <-chan int64) error {
	var answering sync.WaitGroup
	defer answering.Wait()
	defer conn.Close()
	l, err := s.upgrade(conn, "reader")
	if err != nil {
		return nil
	}
	if r.epoch == "" {
		err = l.say(`{"type":"join","room":"r","history":200}`)
	} else {
		err = l.say(`{"type":"join","room":"r","after":%d,"epoch":%q}`, r.pos, r.epoch)
	}
	if err != nil {
		return nil
	}
	var end atomic.Int64
	answering.Go(func() {
		end.Store(<-written)
		_ = l.say(`{"type":"ping"}`)
	})
	after, last := r.pos, int64(0)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		ev, err := l.event()
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return fmt.Errorf("at %d of %d and nothing comes", r.pos, end.Load())
		}
		if err != nil {
			return nil // cut
		}
		if last, err = r.handle(&ev, after, last); err != nil {
			return err
		}
		if e := end.Load(); e > 0 && r.pos >= e {
			return nil
		}
	}
}

// scribe changes a room at random.
type scribe struct {
	room *chat.Room
	ids  []string
	rnd  *rand.Rand
}

func (w *scribe) write(t testing.TB, n int) (rev int64) {
	ctx := context.Background()
	for range n {
		var m chat.Message
		err := error(chat.ErrNotFound)
		if len(w.ids) > 0 {
			id := w.ids[w.rnd.IntN(len(w.ids))]
			switch w.rnd.IntN(5) {
			case 0, 1:
				m, err = w.room.Edit(ctx, chat.Message{ID: id, Content: fmt.Sprintf("edit %x", w.rnd.Uint64())})
			case 2:
				m, err = w.room.Delete(ctx, id, w.rnd.IntN(2) == 0)
			}
		}
		if errors.Is(err, chat.ErrNotFound) { // or deleted already
			m, err = w.room.Send(ctx, chat.Message{User: "writer", Content: fmt.Sprintf("%0*x", 1+w.rnd.IntN(300), w.rnd.Uint64())})
			w.ids = append(w.ids, m.ID)
		}
		if err != nil {
			t.Errorf("write: %v", err)
		}
		rev = m.Rev
	}
	head, err := w.room.History(ctx, chat.Query{})
	if err != nil {
		t.Errorf("head: %v", err)
	}
	return max(rev, head.Head.Rev)
}

// requireSame compares what a client has with what the store has.
func (r *replica) requireSame(t testing.TB, room *chat.Room) {
	t.Helper()
	page, err := room.History(context.Background(), chat.Query{Limit: 1 << 20})
	require.NoError(t, err)
	require.Len(t, r.msgs, len(page.Messages))
	for _, m := range page.Messages {
		got, ok := r.msgs[m.ID]
		require.True(t, ok, "message %d, rev %d was never seen", m.Seq, m.Rev)
		require.Equal(t, m.Rev, got.Rev, "message %d is out of date", m.Seq)
		require.Equal(t, m.Content, got.Content)
		require.Equal(t, m.Deleted(), !got.DeletedAt.IsZero())
	}
}

// cutAndResume follows a room over hundreds of connections, each cut anywhere,
// while the room changes.
func cutAndResume(t *testing.T, entrance string, ring int) {
	s := listen(t, entrance, chat.Options{Limits: chat.Limits{RingFrames: ring, Resume: 1 << 20}})
	room := s.Room("r")
	_, err := room.Create(context.Background(), chat.RoomInfo{})
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := &scribe{room: room, rnd: rand.New(rand.NewPCG(seed, 1))}
	r := &replica{seen: make(map[int64]bool)}
	const sessions = 120
	for i := range sessions {
		conn := s.conn()
		if i < sessions-1 {
			// Short ones end in the handshake, welcome or joined.
			conn = &cutConn{conn, rnd.IntN(100 << rnd.IntN(12))}
		}
		written := make(chan int64, 1)
		var writing sync.WaitGroup
		writing.Go(func() { written <- w.write(t, 1+w.rnd.IntN(12)) })
		err := r.session(s, conn, written)
		writing.Wait()
		require.NoError(t, err, "session %d", i)
	}
	require.Equal(t, 1, r.resets, "nothing was lost, so nothing starts over")
	require.Greater(t, r.frames, sessions)
	r.requireSame(t, room)
}

func TestCutAnywhereAndResumedSeesEveryChangeOnce(t *testing.T) {
	eachEntrance(t, func(t *testing.T, entrance string) {
		t.Run("ring", func(t *testing.T) { cutAndResume(t, entrance, 0) })
		t.Run("store", func(t *testing.T) { cutAndResume(t, entrance, 3) })
	})
}
