package storagetest

import (
	"context"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// tester is a rig, or the T of a property.
type tester interface {
	require.TestingT
	Helper()
	Fatalf(format string, args ...any)
}

// room is a room of the store under test.
type room struct {
	t     tester
	ctx   context.Context
	s     chat.Store
	key   string
	id    string
	epoch string
}

// room makes a room in a store of its own.
func (t *rig) room() *room { return t.roomIn(t.open()) }

// roomIn makes another room.
func (t *rig) roomIn(s chat.Store) *room {
	t.Helper()
	t.last = s
	r := &room{t: t, ctx: t.ctx, s: s, id: "r-" + newID()}
	r.key = "tenant/" + r.id
	r.make()
	return r
}

// make makes the room.
func (r *room) make() chat.Result {
	r.t.Helper()
	res := r.one(r.creation())
	r.epoch = res.Position.Epoch
	return res
}

func (r *room) creation() chat.Change {
	return chat.Change{Kind: chat.ChangeCreateRoom, At: now(), Room: chat.RoomInfo{
		ID: r.id, Kind: chat.RoomPublic, Title: "A room", CreatedBy: "alice",
	}}
}

// over is the same room through another store.
func (r *room) over(s chat.Store) *room {
	c := *r
	c.s = s
	return &c
}

// append appends changes, which may fail one by one.
func (r *room) append(changes ...chat.Change) []chat.Result {
	r.t.Helper()
	results, err := r.try(changes...)
	require.NoError(r.t, err, "Append")
	require.Len(r.t, results, len(changes), "Append must answer each change")
	return results
}

// try is append for goroutines that must not end the test.
func (r *room) try(changes ...chat.Change) ([]chat.Result, error) {
	return r.s.Append(r.ctx, r.key, chat.Position{}, changes)
}

// one appends a change that must not fail.
func (r *room) one(c chat.Change) chat.Result {
	r.t.Helper()
	res := r.append(c)[0]
	require.NoError(r.t, res.Err)
	return res
}

// refused appends a change that must fail alone, with the error.
func (r *room) refused(c chat.Change, want error) chat.Result {
	r.t.Helper()
	res := r.append(c)[0]
	r.isError(res.Err, want)
	return res
}

// isError wants one of the package's own errors.
func (r *room) isError(err, want error) {
	r.t.Helper()
	require.ErrorIs(r.t, err, want)
	var e *chat.Error
	require.ErrorAs(r.t, err, &e, "a failure is an *Error")
	discreet(r.t, r.s, err)
}

// send appends a message without a nonce.
func (r *room) send(content string) chat.Message {
	r.t.Helper()
	return r.one(r.create("alice", "", content)).Message
}

// fill sends n messages at once.
func (r *room) fill(n int) []chat.Message {
	r.t.Helper()
	changes := make([]chat.Change, n)
	for i := range changes {
		changes[i] = r.create("alice", "", "message")
	}
	msgs := make([]chat.Message, n)
	for i, res := range r.append(changes...) {
		require.NoError(r.t, res.Err)
		msgs[i] = res.Message
	}
	return msgs
}

func (r *room) head() chat.Position {
	r.t.Helper()
	p, err := r.s.Head(r.ctx, r.key)
	require.NoError(r.t, err, "Head")
	return p
}

func (r *room) changes(after int64, limit int) chat.Page {
	r.t.Helper()
	p, err := r.s.Changes(r.ctx, r.key, after, limit)
	require.NoError(r.t, err, "Changes(%d, %d)", after, limit)
	require.NotNil(r.t, p.Room, "Page.Room of Changes(%d, %d)", after, limit)
	return p
}

func (r *room) history(q chat.Query) chat.Page {
	r.t.Helper()
	p, err := r.s.History(r.ctx, r.key, q)
	require.NoError(r.t, err, "History(%+v)", q)
	require.NotNil(r.t, p.Room, "Page.Room of History(%+v)", q)
	return p
}

// message is what History has by the id; it must be there.
func (r *room) message(id string) chat.Message {
	r.t.Helper()
	p := r.history(chat.Query{ID: id, Limit: 1})
	require.Len(r.t, p.Messages, 1, "History by id %s", id)
	return p.Messages[0]
}

func (r *room) create(user, nonce, content string) chat.Change {
	id := newID()
	return chat.Change{Kind: chat.ChangeCreate, At: now(), Message: chat.Message{
		ID: id, Room: r.id, User: user, Kind: chat.KindRegular, Content: content, Nonce: nonce,
	}}
}

func edit(id, content string) chat.Change {
	return chat.Change{Kind: chat.ChangeEdit, At: now(), Message: chat.Message{ID: id, Content: content}}
}

func remove(id string) chat.Change {
	return chat.Change{Kind: chat.ChangeDelete, At: now(), Message: chat.Message{ID: id}}
}

func removeHard(id string) chat.Change {
	c := remove(id)
	c.Hard = true
	return c
}

func retitle(title string) chat.Change {
	return chat.Change{Kind: chat.ChangeUpdateRoom, At: now(), Update: chat.RoomUpdate{Title: &title}}
}

func newID() string { return ulid.Make().String() }

// now is a time as the server gives it: local, finer than a store keeps.
func now() time.Time { return time.Now() }

// stamp is what a store makes of a time.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// together calls f n times at once and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}
