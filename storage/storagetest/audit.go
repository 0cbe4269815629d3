package storagetest

import (
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// walk follows a cursor from after to the head and returns what it met. It
// checks what holds of every page. The room must be at rest.
func (r *room) walk(after int64, limit int) []chat.Entry {
	r.t.Helper()
	var all []chat.Entry
	for {
		p := r.changes(after, limit)
		r.sound(p, after, limit)
		all = append(all, p.Entries...)
		if !p.More {
			require.GreaterOrEqual(r.t, max(after, p.Through), p.Head.Rev, "without More, Through is the head")
			return all
		}
		require.Greater(r.t, p.Through, after, "a page with More must get on")
		after = p.Through
	}
}

// sound checks one page of Changes by itself.
func (r *room) sound(p chat.Page, after int64, limit int) {
	r.t.Helper()
	require.LessOrEqual(r.t, len(p.Entries), limit, "a page holds at most limit entries")
	require.LessOrEqual(r.t, p.Through, p.Head.Rev, "nobody can look beyond the head")
	require.Equal(r.t, p.Through < p.Head.Rev, p.More, "More says that Through is below the head")
	last := after
	for _, e := range p.Entries {
		require.Greater(r.t, e.Rev, last, "entries are in rev order, above after")
		last = e.Rev
		require.True(r.t, (e.Message == nil) != (e.Room == nil), "exactly one of an entry's pointers is set")
		if e.Message != nil {
			require.Equal(r.t, e.Rev, e.Message.Rev, "an entry's rev is that of its message")
			require.LessOrEqual(r.t, e.Message.Seq, p.Head.Seq, "Head is of the same snapshot")
		} else {
			require.Equal(r.t, e.Rev, e.Room.Rev, "an entry's rev is that of the settings")
			sameRoom(r.t, *p.Room, *e.Room, "Page.Room is of the same snapshot")
		}
	}
	require.LessOrEqual(r.t, last, max(p.Through, after), "Through is not below the last entry")
}

// audit reads a room at rest in every way, checks what holds of any log, and
// returns its messages.
func (r *room) audit() []chat.Message {
	r.t.Helper()
	head := r.head()
	limit := max(3, int(head.Rev/16))
	msgs := r.scroll(limit)
	require.Equal(r.t, head, r.head(), "reading changes nothing")

	byID := map[string]chat.Message{}
	var rev int64
	first := head.Seq - int64(len(msgs)) + 1
	for i, m := range msgs {
		require.Equal(r.t, first+int64(i), m.Seq, "seq is dense and ends at Head.Seq")
		require.Greater(r.t, m.FirstRev, rev, "first revs rise with seq")
		require.GreaterOrEqual(r.t, m.Rev, m.FirstRev)
		require.LessOrEqual(r.t, m.Rev, head.Rev)
		require.Equal(r.t, r.id, m.Room, "a message is of its room")
		require.NotContains(r.t, byID, m.ID, "an id is there once")
		rev, byID[m.ID] = m.FirstRev, m
	}
	page := r.changes(0, 1)
	require.Equal(r.t, head, page.Head)
	if page.Floor == 0 {
		require.EqualValues(r.t, 1, first, "seq begins at 1 where nothing has been trimmed")
	} else if len(msgs) > 0 {
		require.Less(r.t, page.Floor, msgs[0].FirstRev, "Floor is below what is still there")
	}

	rooms, met := 0, 0
	for _, e := range r.walk(0, limit) {
		if e.Room != nil {
			rooms++
			continue
		}
		met++
		sameMessage(r.t, byID[e.Message.ID], *e.Message, "Changes and History show the same state")
	}
	require.Equal(r.t, 1, rooms, "Changes holds the settings once")
	require.Equal(r.t, len(msgs), met, "Changes holds every message once")
	return msgs
}

// scroll reads all messages, from the start in pages.
func (r *room) scroll(limit int) []chat.Message {
	r.t.Helper()
	p := r.history(chat.Query{Around: 1, Limit: limit})
	all := p.Messages
	for len(p.Messages) > 0 {
		p = r.history(chat.Query{After: all[len(all)-1].Seq, Limit: limit})
		require.LessOrEqual(r.t, len(p.Messages), limit, "a page holds at most Limit messages")
		all = append(all, p.Messages...)
		require.Equal(r.t, len(all) > 0 && all[len(all)-1].Seq < p.Head.Seq, p.More, "More: there is more in the direction that was asked for")
	}
	return all
}
