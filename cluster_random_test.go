package chat_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/storagetest"
)

// TestClusterWhateverBreaks guards invariants 1, 2 and 3, and rows 9 to 11 and
// 18: whatever is lost, cut off or down for a while, and wherever clients come
// back to, in the end everybody has had every change once and in order.
func TestClusterWhateverBreaks(t *testing.T) {
	for seed := range uint64(6) {
		for _, edits := range []bool{false, true} {
			t.Run(fmt.Sprint("seed ", seed, " edits ", edits), func(t *testing.T) { chaos(t, seed, edits) })
		}
	}
}

// turmoil is one run of TestClusterWhateverBreaks.
type turmoil struct {
	*group
	rnd    *rand.Rand // of the test's goroutine
	faults []*storagetest.FaultyStore
	rooms  []string
	edits  bool
}

func chaos(t *testing.T, seed uint64, edits bool) {
	together(t, 0, func(t *testing.T, g *group) {
		x := &turmoil{group: g, rnd: rand.New(rand.NewPCG(seed, 1)), rooms: []string{"a", "b", "c"}, edits: edits}
		for range 3 {
			node := g.Node()
			f := storagetest.Faulty(node)
			x.faults = append(x.faults, f)
			g.serve(node, chat.Options{Store: f})
		}
		readers := make([]*reader, 4)
		for i := range readers {
			readers[i] = x.reader(fmt.Sprint("reader", i))
		}
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for i := range 3 {
			writers.Go(func() { x.write(ctx, i, rand.New(rand.NewPCG(seed, uint64(10+i)))) })
		}
		for range 80 {
			x.breakSomething()
			time.Sleep(time.Duration(x.rnd.IntN(400)) * time.Millisecond)
			for _, r := range readers {
				r.absorb()
				if x.rnd.IntN(15) == 0 {
					r.move()
				}
			}
		}
		for i, n := range g.nodes {
			n.Mend()
			n.Up()
			x.faults[i].Up()
		}
		time.Sleep(2 * time.Second)
		stop()
		writers.Wait()
		for range 5 { // a fault that was armed may strike only now
			for _, r := range readers {
				r.resume()
			}
			time.Sleep(time.Second)
		}
		for _, r := range readers {
			r.absorb()
			r.check()
		}
	})
}

func (x *turmoil) breakSomething() {
	i := x.rnd.IntN(3)
	n := x.nodes[i]
	switch x.rnd.IntN(12) {
	case 0:
		n.Cut()
	case 1, 2:
		n.Mend()
	case 3:
		n.Down()
	case 4, 5:
		n.Up()
	case 6:
		n.DropNext(1 + x.rnd.IntN(3))
	case 7:
		x.faults[i].FailNext(storagetest.UnknownAfter)
	case 8:
		x.faults[i].FailNext(storagetest.UnknownBefore)
	case 9:
		x.Behave(storagetest.Habits{
			Bare: x.rnd.IntN(4) - 1, Repeat: x.rnd.IntN(3), Delay: time.Duration(x.rnd.IntN(1500)) * time.Millisecond,
			Shuffle: x.rnd.IntN(2) == 0, NoEcho: x.rnd.IntN(2) == 0,
		})
	}
}

// write sends messages until ctx ends, each until it is acknowledged, by
// whichever server.
func (x *turmoil) write(ctx context.Context, id int, rnd *rand.Rand) {
	user := fmt.Sprint("writer", id)
	var sent []chat.Message
	for i := 0; ctx.Err() == nil; i++ {
		time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		room := x.rooms[rnd.IntN(len(x.rooms))]
		m := chat.Message{User: user, Content: fmt.Sprint(i), Nonce: fmt.Sprint(i)}
		for srv := id; ; srv = rnd.IntN(3) {
			got, err := x.srvs[srv].Room(room).Send(context.Background(), m)
			if err == nil {
				sent = append(sent, got)
				break
			}
			if !errors.Is(err, chat.ErrUnavailable) && !errors.Is(err, chat.ErrUnknown) {
				x.t.Errorf("send: %v", err)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !x.edits {
			continue
		}
		// These may fail; then it is as if they had not been, or not.
		old := sent[rnd.IntN(len(sent))]
		r := x.srvs[rnd.IntN(3)].Room(old.Room)
		switch rnd.IntN(4) {
		case 0:
			_, _ = r.Edit(ctx, chat.Message{ID: old.ID, Content: fmt.Sprint("edited ", i)})
		case 1:
			_, _ = r.Delete(ctx, old.ID, false)
		case 2:
			title := fmt.Sprint("title ", i)
			_, _ = r.Update(ctx, chat.RoomUpdate{Title: &title})
		}
	}
}

// reader is a client that keeps what it is told, and moves from server to
// server.
type reader struct {
	x     *turmoil
	user  string
	c     *chattest.Client
	views map[string]*view
}

// view is what a reader knows of a room.
type view struct {
	joined bool
	epoch  string
	at     int64
	msgs   map[string]chat.Message
}

func (x *turmoil) reader(user string) *reader {
	r := &reader{x: x, user: user, views: map[string]*view{}}
	r.c = x.srvs[x.rnd.IntN(3)].Dial(user)
	for _, room := range x.rooms {
		j := r.c.Join(room)
		v := &view{joined: true, epoch: j.Epoch, at: j.Head, msgs: map[string]chat.Message{}}
		for _, m := range j.Messages {
			v.msgs[m.ID] = m
		}
		r.views[room] = v
	}
	return r
}

// move goes on at another server from where it was.
func (r *reader) move() {
	r.absorb()
	r.c.Cut()
	r.c = r.x.srvs[r.x.rnd.IntN(3)].Dial(r.user)
	for _, v := range r.views {
		v.joined = false
	}
	r.resume()
}

// resume joins those rooms that it has not been able to.
func (r *reader) resume() {
	for room, v := range r.views {
		if v.joined {
			continue
		}
		ev := r.c.Call(map[string]any{"type": "join", "room": room, "epoch": v.epoch, "after": v.at})
		if ev.Type == "error" {
			require.Equal(r.x.t, chat.CodeUnavailable, ev.Code, string(ev.Raw))
			continue
		}
		require.False(r.x.t, ev.Reset, string(ev.Raw))
		v.joined = true
	}
}

// absorb takes in what has come.
func (r *reader) absorb() {
	synctest.Wait()
	t := r.x.t
	for _, ev := range r.c.Drain() {
		v := r.views[ev.Room]
		if ev.Type == "room" && v == nil {
			v = r.views[ev.ID]
		}
		switch ev.Type {
		case "message", "edit", "delete":
			require.Greater(t, ev.Rev, v.at, "%s: %s", r.user, ev.Raw)
			_, known := v.msgs[ev.ID]
			require.Equal(t, ev.Type != "message", known, "%s: %s", r.user, ev.Raw)
			if !r.x.edits {
				require.Equal(t, v.at+1, ev.Rev, "%s: %s", r.user, ev.Raw)
			}
			v.msgs[ev.ID], v.at = ev.Message, ev.Rev
		case "room":
			require.Greater(t, ev.Rev, v.at, "%s: %s", r.user, ev.Raw)
			v.at = ev.Rev
		case "synced":
			require.GreaterOrEqual(t, ev.Rev, v.at, "%s: %s", r.user, ev.Raw)
			v.at = ev.Rev
		case "reset", "left", "error":
			require.Fail(t, "not expected", "%s: %s", r.user, ev.Raw)
		}
	}
}

// check compares what it knows with what is in the store.
func (r *reader) check() {
	t := r.x.t
	for room, v := range r.views {
		require.True(t, v.joined)
		all := map[string]chat.Message{}
		var head chat.Position
		for after := int64(0); ; {
			page, err := r.x.srvs[0].Room(room).History(context.Background(), chat.Query{After: after, Around: max(1-after, 0), Limit: 200})
			require.NoError(t, err)
			head = page.Head
			for _, m := range page.Messages {
				require.Equal(t, after+1, m.Seq, "dense")
				after = m.Seq
				all[m.ID] = m
			}
			if !page.More {
				break
			}
		}
		require.Equal(t, head.Rev, v.at, "%s in %s", r.user, room)
		require.Equal(t, len(all), len(v.msgs), "%s in %s", r.user, room)
		nonces := map[string]bool{}
		for id := range maps.Keys(all) {
			want, got := all[id], v.msgs[id]
			require.Equal(t, []any{want.Seq, want.Rev, want.Content}, []any{got.Seq, got.Rev, got.Content}, "%s in %s", r.user, room)
			require.False(t, nonces[want.User+want.Nonce], "twice")
			nonces[want.User+want.Nonce] = true
		}
	}
}
