package chat_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// keeper is a client that keeps what docs/protocol.md says.
type keeper struct {
	t      *testing.T
	c      *chattest.Client
	epoch  string
	rev    int64
	have   map[string]string // content by message
	resets int
}

func keep(t *testing.T, srv *chattest.Server, user string) *keeper {
	k := &keeper{t: t, c: srv.Dial(user)}
	k.page(k.c.Join("general"))
	return k
}

func (k *keeper) page(ev chattest.Event) {
	k.epoch, k.rev, k.have = ev.Epoch, ev.Head, map[string]string{}
	for _, m := range ev.Messages {
		k.have[m.ID] = m.Content
	}
}

// take takes what has come.
func (k *keeper) take() {
	k.t.Helper()
	for _, ev := range k.c.Drain() {
		if ev.Room != "general" {
			continue
		}
		switch ev.Type {
		case "message":
			require.Greater(k.t, ev.Rev, k.rev)
			k.rev, k.have[ev.Message.ID] = ev.Rev, ev.Message.Content
		case "room":
			k.rev = ev.Rev
		case "synced":
			require.GreaterOrEqual(k.t, ev.Rev, k.rev)
			require.NotEmpty(k.t, ev.Epoch)
			k.epoch, k.rev = ev.Epoch, ev.Rev
		case "reset":
			k.resets++
			k.page(ev)
		}
	}
}

// back comes back to a server from where it was.
func (k *keeper) back(srv *chattest.Server, user string) {
	k.c = srv.Dial(user)
	ev := k.c.Resume("general", k.epoch, k.rev)
	if ev.Reset {
		k.resets++
		k.page(ev)
	}
	k.epoch = ev.Epoch
}

// row is one way in which a store comes back as it was earlier, or does not.
type row struct {
	nodes     int
	shared    bool // between the nodes; else the one node has the store for itself
	lost      int  // messages that are gone
	told      bool // the nodes have seen that the store was away
	writer    int  // the node that writes first; -1: nobody writes
	comeFirst bool // who resumes comes before anybody writes
}

func (r row) String() string {
	s := fmt.Sprintf("%d nodes, %d lost", r.nodes, r.lost)
	for _, part := range []struct {
		is   bool
		name string
	}{
		{!r.shared, "alone"}, {r.told, "told"}, {!r.told, "in silence"}, {r.writer == 0, "the first writes"}, {r.writer > 0, "the last writes"},
		{r.writer < 0, "nobody writes"}, {r.comeFirst, "resumed before"},
	} {
		if part.is {
			s += ", " + part.name
		}
	}
	return s
}

func rows() (list []row) {
	for _, nodes := range []int{1, 2} {
		for _, shared := range []bool{true, false} {
			for _, lost := range []int{0, 5} {
				for _, told := range []bool{true, false} {
					for writer := -1; writer < nodes; writer++ {
						for _, first := range []bool{true, false} {
							if shared && (writer >= 0 || told) || !shared && nodes == 1 && !told && writer >= 0 {
								list = append(list, row{nodes, shared, lost, told, writer, first})
							}
						}
					}
				}
			}
		}
	}
	return list
}

// TestLineage guards invariant 2 where a store comes back as it was earlier and
// is written to past that place: who has seen what is gone starts over, whoever
// they are and whoever writes first, and nobody else does.
func TestLineage(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.String(), func(t *testing.T) { synctest.Test(t, r.test) })
	}
}

func (r row) test(t *testing.T) {
	store := storagetest.Rewindable(func() chat.Store { return memory.New() })
	g := &group{SharedStore: storagetest.Shared(store), t: t}
	for range r.nodes {
		if r.shared {
			g.add(chat.Options{})
		} else {
			g.srvs = append(g.srvs, chattest.New(t, &chat.Options{Store: store, Logger: quiet}))
		}
	}
	synctest.Wait()
	first, last := g.srvs[0], g.srvs[r.nodes-1]
	write := func(srv *chattest.Server, n int, what string) {
		for i := range n {
			_, err := srv.Room("general").Send(t.Context(), chat.Message{User: "host", Content: fmt.Sprint(what, " ", i)})
			require.NoError(t, err)
		}
		time.Sleep(5 * time.Second)
	}
	_, err := first.Room("general").Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	write(first, 5, "kept")

	early, late, stays := keep(t, last, "early"), keep(t, last, "late"), keep(t, last, "stays")
	loops := []*loop{follow(t, first.Room("general"), chat.Position{}), follow(t, last.Room("general"), chat.Position{})}
	synctest.Wait()
	k := headOf(t, first.Room("general"))
	early.take()
	early.c.Cut()
	store.Mark(t)
	write(last, r.lost, "lost")
	lost := headOf(t, first.Room("general"))
	for _, c := range []*keeper{late, stays} {
		c.take()
		require.Equal(t, lost.Rev, c.rev)
	}
	late.c.Cut()

	if r.told {
		for _, n := range g.nodes {
			n.Down()
		}
	}
	store.Rewind(t)
	if r.told {
		for _, n := range g.nodes {
			n.Up()
		}
		time.Sleep(5 * time.Second)
	}
	come := func() {
		early.back(last, "early")
		late.back(last, "late")
		time.Sleep(5 * time.Second)
	}
	if r.comeFirst {
		come()
	}
	if r.writer >= 0 {
		write(g.srvs[r.writer], 7, "after")
	}
	if !r.comeFirst {
		come()
	}
	time.Sleep(5 * time.Second)

	head := headOf(t, last.Room("general"))
	page, err := last.Room("general").History(t.Context(), chat.Query{Limit: 50})
	require.NoError(t, err)
	want := map[string]string{}
	for _, m := range page.Messages {
		want[m.ID] = m.Content
	}
	some := 0
	if r.lost > 0 {
		some = 1
	}
	for name, c := range map[string]*keeper{"early": early, "late": late, "stays": stays} {
		c.take()
		require.Equal(t, want, c.have, name)
		require.Equal(t, []any{head.Epoch, head.Rev}, []any{c.epoch, c.rev}, name)
		switch {
		case name != "early":
			require.Equal(t, some, c.resets, name)
		case r.comeFirst && !r.told: // its server did not know yet what is gone
			require.LessOrEqual(t, c.resets, some, name)
		default:
			require.Zero(t, c.resets, name)
		}
	}

	for _, l := range loops {
		if r.lost > 0 {
			<-l.done
			require.ErrorIs(t, l.err, chat.ErrReset)
		} else {
			require.Equal(t, oneTo(1, head.Rev), l.revs(t, "general"))
		}
	}
	require.Equal(t, oneTo(k.Rev+1, head.Rev), follow(t, last.Room("general"), k).revs(t, "general"))
	beyond := follow(t, last.Room("general"), lost)
	synctest.Wait()
	if r.lost > 0 {
		<-beyond.done
		require.True(t, errors.Is(beyond.err, chat.ErrReset))
	} else {
		require.Equal(t, oneTo(k.Rev+1, head.Rev), beyond.revs(t, "general"))
	}
}

// A client of which nothing is lost is told the epoch where it stands: what it
// resumes from afterwards is good in the next life, too.
func TestRestartsResetNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storagetest.Rewindable(func() chat.Store { return memory.New() })
		g := &group{SharedStore: storagetest.Shared(store), t: t}
		g.add(chat.Options{})
		g.add(chat.Options{})
		synctest.Wait()
		_, err := g.srvs[0].Room("general").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		stays, comes := keep(t, g.srvs[0], "stays"), keep(t, g.srvs[1], "comes")
		all := follow(t, g.srvs[1].Room("general"), chat.Position{})
		for life := range 50 { // more than are remembered
			_, err := g.srvs[life%2].Room("general").Send(t.Context(), chat.Message{User: "host", Content: "hello"})
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			stays.take()
			comes.take()
			comes.c.Cut()
			store.Restart(t)
			comes.back(g.srvs[life%2], "comes")
			time.Sleep(5 * time.Second)
		}
		comes.take()
		head := headOf(t, g.srvs[0].Room("general"))
		for _, c := range []*keeper{stays, comes} {
			require.Zero(t, c.resets)
			require.Len(t, c.have, 50)
			require.Equal(t, []any{head.Epoch, head.Rev}, []any{c.epoch, c.rev})
		}
		require.Equal(t, oneTo(1, head.Rev), all.revs(t, "general"))
	})
}
