package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/storage"
)

// sheet is a room as a store of records would keep it, in the simplest way, for
// decisions to be tried on.
type sheet struct {
	head    storage.Position
	exists  bool
	records map[string]storage.Record
}

func newSheet() *sheet { return &sheet{records: make(map[string]storage.Record)} }

// view is what a transaction would see, but for what is absent as a rule where
// that is taken for granted.
func (s *sheet) view(tx *storage.Tx, assume bool) storage.View {
	v := storage.View{Exists: s.exists}
	keys := tx.Reads
	if !assume {
		keys = slices.Concat(tx.Reads, tx.Absent)
	}
	for _, key := range keys {
		if rec, ok := s.records[key]; ok {
			v.Records = append(v.Records, rec)
		}
	}
	return v
}

func (s *sheet) write(writes []storage.Write) (out storage.Outcome) {
	for _, w := range writes {
		s.exists = true
		rec, there := s.records[w.Key]
		if !there {
			rec = storage.Record{Key: w.Key, At: w.At}
		}
		rec.Body = w.Body
		if w.Logged {
			s.head.Rev++
			if rec.Rev = s.head.Rev; rec.FirstRev == 0 {
				rec.FirstRev = rec.Rev
			}
		}
		if !there {
			for _, name := range w.Lists {
				s.head.Seq++
				rec.Places = append(rec.Places, storage.Place{List: name, Seq: s.head.Seq})
			}
		}
		if w.Like != "" {
			as := s.records[w.Like]
			rec.Rev, rec.FirstRev, rec.Places, rec.At, rec.Like = as.Rev, as.FirstRev, as.Places, as.At, w.Like
		}
		s.records[w.Key] = rec
		out.Writes = append(out.Writes, storage.Written{Rev: rec.Rev, FirstRev: rec.FirstRev, Places: rec.Places})
	}
	out.Head = s.head
	return out
}

func quiet(*storage.Record, error) {}

// commit decides and writes with nobody between the two.
func (s *sheet) commit(changes ...Change) []Result {
	d := decision{changes: changes, damaged: quiet}
	tx := d.tx()
	d.settle(s.write(tx.Decide(s.view(&tx, false))))
	return d.results
}

var at = time.UnixMilli(1_700_000_000_123).UTC()

func making() Change {
	return Change{Kind: ChangeCreateRoom, At: at, Room: RoomInfo{ID: "r", Kind: RoomPublic, Title: "R"}}
}

func sending(id, nonce string) Change {
	return Change{Kind: ChangeCreate, At: at, Message: Message{ID: id, User: "alice", Nonce: nonce, Content: id}}
}

func TestDecisions(t *testing.T) {
	title := "T"
	edit := func(id, content string) Change {
		return Change{Kind: ChangeEdit, At: at, Message: Message{ID: id, Content: content}}
	}
	seen := func(c Change, content string, mentions ...string) Change {
		c.Seen = &Message{ID: c.Message.ID, Content: content, Mentions: mentions}
		return c
	}
	mention := edit("a", "b")
	mention.Message.Mentions = []string{"bob"}
	gone := func(id string, hard bool) Change {
		return Change{Kind: ChangeDelete, At: at, Hard: hard, Message: Message{ID: id}}
	}
	said := func(res Result) string {
		switch {
		case res.Err != nil:
			return string(CodeOf(res.Err))
		case res.Duplicate:
			return fmt.Sprint("duplicate of ", res.Message.Seq)
		case res.Unchanged:
			return "unchanged"
		}
		return fmt.Sprint("rev ", res.Position.Rev)
	}
	for _, row := range []struct {
		name    string
		before  []Change
		changes []Change
		want    []string
		writes  int // of them
	}{
		{"nothing goes into a room that is not there", nil, []Change{sending("a", ""), edit("a", "b"), gone("a", false), {Kind: ChangeUpdateRoom}},
			[]string{"not_found", "not_found", "not_found", "not_found"}, 0},
		{"a room is there for what comes behind it", nil, []Change{sending("a", ""), making(), sending("b", "")}, []string{"not_found", "rev 1", "rev 2"}, 2},
		{"a room is made once", []Change{making()}, []Change{making()}, []string{"conflict"}, 0},
		{"also by two at once", nil, []Change{making(), making()}, []string{"rev 1", "conflict"}, 1},
		{"a message and its nonce", []Change{making()}, []Change{sending("a", "n")}, []string{"rev 2"}, 2},
		{"a nonce is used once", []Change{making(), sending("a", "n")}, []Change{sending("b", "n")}, []string{"duplicate of 1"}, 0},
		{"also by two at once", []Change{making()}, []Change{sending("a", "n"), sending("b", "n")}, []string{"rev 2", "duplicate of 1"}, 2},
		{"nonces of deleted messages stay", []Change{making(), sending("a", "n"), gone("a", true)}, []Change{sending("b", "n")}, []string{"duplicate of 1"}, 0},
		{"an id is used once", []Change{making(), sending("a", "")}, []Change{sending("a", "n")}, []string{"conflict"}, 0},
		{"an edit, and the same again", []Change{making(), sending("a", "")}, []Change{edit("a", "b"), edit("a", "b")}, []string{"rev 3", "unchanged"}, 1},
		{"of what is as it was seen, but for what the edit sets", []Change{making(), sending("a", "")}, []Change{seen(edit("a", "b"), "other"), seen(mention, "a", "carol")},
			[]string{"rev 3", "rev 4"}, 2},
		{"of what others have made of it", []Change{making(), sending("a", ""), mention}, []Change{seen(edit("a", "c"), "a"), edit("a", "d"), seen(edit("a", "e"), "d", "bob")},
			[]string{"conflict", "rev 4", "rev 5"}, 2},
		{"also where that is done at once", []Change{making(), sending("a", "")}, []Change{mention, seen(edit("a", "c"), "a")}, []string{"rev 3", "conflict"}, 1},
		{"of what is not there", []Change{making()}, []Change{edit("a", "b"), gone("a", true)}, []string{"not_found", "not_found"}, 0},
		{"of what is deleted", []Change{making(), sending("a", ""), gone("a", false)}, []Change{edit("a", "b"), gone("a", false), gone("a", true)},
			[]string{"not_found", "unchanged", "rev 4"}, 1},
		{"settings, and the same again", []Change{making()}, []Change{{Kind: ChangeUpdateRoom, Update: RoomUpdate{Title: &title}}, {Kind: ChangeUpdateRoom, Update: RoomUpdate{Title: &title}}},
			[]string{"rev 2", "unchanged"}, 1},
		{"a kind that nobody knows", []Change{making()}, []Change{{Kind: 99}}, []string{"invalid"}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSheet()
			for _, c := range row.before {
				require.NoError(t, s.commit(c)[0].Err)
			}
			d := decision{changes: row.changes, damaged: quiet}
			tx := d.tx()
			writes := tx.Decide(s.view(&tx, false))
			require.Len(t, writes, row.writes)
			d.settle(s.write(writes))
			var got []string
			for _, res := range d.results {
				got = append(got, said(res))
				if res.Err != nil {
					require.Zero(t, res.Message, "of what has failed there is no message")
				}
			}
			require.Equal(t, row.want, got)
		})
	}
}

// A damaged message can only be deleted, and is one again by that.
func TestDecisionsOnDamagedRecords(t *testing.T) {
	s := newSheet()
	s.commit(making(), sending("a", ""))
	rec := s.records["m/a"]
	rec.Body = []byte(`{"content":`)
	s.records["m/a"] = rec
	require.Equal(t, CodeInternal, CodeOf(s.commit(Change{Kind: ChangeEdit, Message: Message{ID: "a", Content: "x"}})[0].Err))
	res := s.commit(Change{Kind: ChangeDelete, At: at, Message: Message{ID: "a"}})[0]
	require.NoError(t, res.Err)
	require.Equal(t, Message{ID: "a", Room: "r", Seq: 1, Rev: 3, FirstRev: 2, CreatedAt: at, DeletedAt: at}, res.Message)
	require.True(t, s.commit(Change{Kind: ChangeDelete, At: at, Message: Message{ID: "a"}})[0].Unchanged)
}

// Two servers decide on one room at the same time, each on what it has seen of
// it; what was decided on what is no longer so is decided again. Whatever comes
// of it could have come of one after the other.
func TestDecisionsOfTwoServersAreInSomeOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, nonces := []string{"a", "b", "c"}, []string{"", "n", "o"}
		change := rapid.Custom(func(t *rapid.T) Change {
			id := rapid.SampledFrom(ids).Draw(t, "id")
			title := rapid.SampledFrom([]string{"R", "S"}).Draw(t, "title")
			return rapid.SampledFrom([]Change{
				making(), sending(id, rapid.SampledFrom(nonces).Draw(t, "nonce")), sending(id, "p"),
				{Kind: ChangeEdit, At: at, Message: Message{ID: id, Content: title}},
				{Kind: ChangeEdit, At: at, Message: Message{ID: id, Content: title, Mentions: []string{title}}},
				{Kind: ChangeEdit, At: at, Message: Message{ID: id, Content: title}, Seen: &Message{Mentions: []string{"S"}}},
				{Kind: ChangeDelete, At: at, Message: Message{ID: id}, Hard: title == "S"},
				{Kind: ChangeUpdateRoom, At: at, Update: RoomUpdate{Title: &title}},
			}).Draw(t, "change")
		})
		groups := rapid.SliceOfN(rapid.SliceOfN(change, 1, 4), 1, 12)
		type server struct {
			groups [][]Change
			d      *decision
			tx     storage.Tx
			seen   storage.View
			writes []storage.Write
		}
		truth, serial := newSheet(), newSheet()
		truth.commit(making())
		serial.commit(making())
		servers := []*server{{groups: groups.Draw(t, "one")}, {groups: groups.Draw(t, "other")}}
		for len(servers) > 0 {
			i := rapid.IntRange(0, len(servers)-1).Draw(t, "who")
			s := servers[i]
			if s.d == nil { // looks and decides, as if what is absent as a rule were so
				s.d = &decision{changes: s.groups[0], damaged: quiet}
				s.tx = s.d.tx()
				s.seen = truth.view(&s.tx, true)
				s.writes = s.tx.Decide(s.seen)
				continue
			}
			now := truth.view(&s.tx, false)
			if fmt.Sprint(now) != fmt.Sprint(s.seen) {
				s.seen, s.writes = now, s.tx.Decide(now)
				if rapid.Bool().Draw(t, "late again") {
					continue
				}
			}
			s.d.settle(truth.write(s.writes))
			require.Equal(t, serial.commit(s.groups[0]...), s.d.results)
			require.Equal(t, serial.records, truth.records)
			s.d = nil
			if s.groups = s.groups[1:]; len(s.groups) == 0 {
				servers = append(servers[:i], servers[i+1:]...)
			}
		}
	})
}
