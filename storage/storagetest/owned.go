package storagetest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

func ownedChecks() []check {
	const input = "What is passed in is the caller's again when the call has returned"
	const output = "what is returned is the caller's, to be changed, appended to and kept: it shares no memory with the store or with what another caller has"
	return []check{
		{"input", input, "", ownedInput},
		{"output", output, "", ownedOutput},
		{"apart", output, "nor with another part of the same answer", ownedApart},
	}
}

// thing is a message or settings that somebody owns.
type thing struct {
	what string
	at   chat.Entry // only the pointers
	was  chat.Entry // what it is to stay, in other memory
}

type things []thing

func (all *things) message(what string, m *chat.Message) {
	all.add(what, chat.Entry{Message: m})
}

func (all *things) room(what string, r *chat.RoomInfo) { all.add(what, chat.Entry{Room: r}) }

func (all *things) add(what string, e chat.Entry) {
	*all = append(*all, thing{what, e, cloneEntries([]chat.Entry{e})[0]})
}

func (x thing) same(t tester, what string) {
	t.Helper()
	if x.at.Room != nil {
		sameRoom(t, *x.was.Room, *x.at.Room, what)
		return
	}
	sameMessage(t, *x.was.Message, *x.at.Message, what)
}

func (x thing) scribble() {
	if x.at.Room == nil {
		scribble(x.at.Message)
		return
	}
	scribbleStrings(x.at.Room.Peers)
	scribbleBytes(x.at.Room.Meta)
}

// scribble writes to all memory that m refers to, that behind the ends of its
// slices too: append does so.
func scribble(m *chat.Message) {
	scribbleStrings(m.Mentions)
	scribbleBytes(m.Meta)
	as := m.Attachments[:cap(m.Attachments)]
	for i := range as {
		scribbleBytes(as[i].Meta)
		as[i].URL = "scribbled"
	}
	m.Content = "scribbled"
}

func scribbleStrings(s []string) {
	s = s[:cap(s)]
	for i := range s {
		s[i] = "scribbled"
	}
}

func scribbleBytes(b json.RawMessage) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = '#'
	}
}

// richRoom makes a room whose settings hold all that settings can.
func (t *rig) richRoom() *room {
	t.Helper()
	r := &room{t: t, ctx: t.ctx, s: t.open(), id: "r-" + newID()}
	r.key = "tenant/" + r.id
	c := r.creation()
	c.Room.Kind, c.Room.Peers, c.Room.Meta = chat.RoomDirect, []string{"alice", "bob"}, json.RawMessage(`{"of": "the room"}`)
	r.epoch = r.one(c).Position.Epoch
	return r
}

func ownedInput(t *rig) {
	r := t.richRoom()
	var passed things
	c := r.rich("alice", "n")
	passed.message("ChangeCreate", &c.Message)
	e := edit(r.send("x").ID, "edited")
	e.Message.Mentions, e.Message.Meta = []string{"bob"}, json.RawMessage(`{"e":1}`)
	e.Message.Attachments = c.Message.Attachments
	passed.message("ChangeEdit", &e.Message)
	u := chat.Change{Kind: chat.ChangeUpdateRoom, At: now(), Update: chat.RoomUpdate{Meta: json.RawMessage(`{"u":1}`)}}
	changes := []chat.Change{c, e, u}
	r.append(changes...)
	for _, x := range passed {
		x.same(t, "what was passed in is as it was")
	}
	want, info := r.audit(), *cloneEntries([]chat.Entry{{Room: r.history(chat.Query{}).Room}})[0].Room
	for i := range want {
		want[i] = *cloneEntries([]chat.Entry{{Message: &want[i]}})[0].Message
	}
	for _, x := range passed {
		x.scribble()
	}
	scribbleBytes(u.Update.Meta)
	clear(changes)
	sameMessages(t, want, r.audit(), "the caller may use again what it has passed in")
	sameRoom(t, info, *r.history(chat.Query{}).Room, "the caller may use again what it has passed in")
}

// answers are all ways in which a store returns messages and settings. None of
// them changes anything, but the first time.
func (r *room) answers(t *rig, c chat.Change) things {
	t.Helper()
	var all things
	again := edit(c.Message.ID, c.Message.Content)
	title := r.history(chat.Query{}).Room.Title
	for i, res := range r.append(c, c, again, again, retitle(title), retitle(title), r.creation(), r.creation()) {
		if res.Room.ID == "" {
			all.message(fmt.Sprintf("answer %d, a message", i), &res.Message)
		} else {
			all.room(fmt.Sprintf("answer %d, settings", i), &res.Room)
		}
	}
	for i := range 2 {
		for j, e := range r.changes(0, 10).Entries {
			all.add(fmt.Sprintf("entry %d of Changes, call %d", j, i), e)
		}
		for _, q := range []chat.Query{{Limit: 10}, {Around: 1, Limit: 10}, {ID: c.Message.ID, Limit: 1}, {User: c.Message.User, Nonce: c.Message.Nonce, Limit: 1}} {
			p := r.history(q)
			for j := range p.Messages {
				all.message(fmt.Sprintf("message %d of History(%+v), call %d", j, q, i), &p.Messages[j])
			}
		}
		if l, ok := capability[chat.RoomLister](r.s); ok {
			rooms, _, err := l.ListRooms(t.ctx, r.key, "", 1)
			require.NoError(t, err)
			all.room("RoomSummary.Room", &rooms[0].Room)
			all.message("RoomSummary.LastMessage", rooms[0].LastMessage)
		}
		if l, ok := capability[chat.DirectLister](r.s); ok {
			rooms, _, err := l.ListDirect(t.ctx, r.key, "alice", "", 1)
			require.NoError(t, err)
			all.room("RoomSummary.Room of ListDirect", &rooms[0].Room)
		}
	}
	return all
}

func ownedOutput(t *rig) {
	r := t.richRoom()
	c := r.rich("alice", "n")
	first := r.one(c)
	want := r.audit()
	for i := range want {
		want[i] = *cloneEntries([]chat.Entry{{Message: &want[i]}})[0].Message
	}
	info := *cloneEntries([]chat.Entry{{Room: r.history(chat.Query{}).Room}})[0].Room
	all := r.answers(t, c)
	scribble(&first.Message)
	for _, x := range all {
		x.scribble()
		sameMessages(t, want, r.history(chat.Query{Limit: 10}).Messages, "scribbling on "+x.what+" reaches nothing")
		sameRoom(t, info, *r.history(chat.Query{}).Room, "scribbling on "+x.what+" reaches nothing")
	}
	sameMessages(t, want, r.audit(), "scribbling on what was returned reaches nothing")
	for _, y := range r.answers(t, c) {
		if y.at.Message != nil {
			i := slices.IndexFunc(want, func(m chat.Message) bool { return m.ID == y.at.Message.ID })
			sameMessage(t, want[i], *y.at.Message, y.what)
		} else {
			sameRoom(t, info, *y.at.Room, y.what)
		}
	}
}

func ownedApart(t *rig) {
	r := t.richRoom()
	c := r.rich("alice", "n")
	r.one(r.rich("bob", "n"))
	all := r.answers(t, c)
	for i, x := range all {
		x.same(t, x.what+" stays, whatever is done to the others")
		x.scribble()
		for _, y := range all[i+1:] {
			y.same(t, "scribbling on "+x.what+" reaches "+y.what)
		}
	}
}
