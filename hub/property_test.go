package hub_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/hub"
)

// model is a log of changes to things, and what a store would say of it.
type model struct {
	mu       sync.Mutex
	epoch    int
	past     []ended // the newest first
	changes  []int   // changes[i] is the thing that changed at rev i+1
	page     int     // entries per page
	failing  bool
	fills    int
	spinning bool
	resets   map[[2]int64]map[int]int64 // what the page of each reset showed
	seen     map[string]int64           // the newest positions that pages have shown
	topic    *hub.Topic
}

// ended is where an epoch of a log ended that goes on.
type ended struct {
	epoch int
	rev   int64
}

// common returns up to where positions of an epoch are those of the log, -1 if
// none are.
func (m *model) common(epoch string) int64 {
	upTo := int64(len(m.changes))
	if epoch == m.name() {
		return upTo
	}
	for _, p := range m.past {
		upTo = min(upTo, p.rev)
		if epoch == nameOf(p.epoch) {
			return upTo
		}
	}
	return -1
}

// turn is how the log goes on after an epoch in which the topic was seen.
func (m *model) turn(from string) hub.Turn {
	return hub.Turn{From: from, To: m.name(), Good: m.common(from), Head: int64(len(m.changes)), Seen: m.seen[from]}
}

// A frame of the tests: epoch, rev, thing and what it is.
const (
	change = iota
	synced
	reset
	signal
)

func frame(what, epoch int, rev int64, thing int) []byte {
	b := binary.AppendVarint([]byte{byte(what)}, int64(epoch))
	b = binary.AppendVarint(b, rev)
	return binary.AppendVarint(b, int64(thing))
}

// parse takes a frame apart. A frame of a folded page also says which cursor
// the page was made for, else base is -1.
func parse(b []byte) (what, epoch int, rev int64, thing int, base int64) {
	rest := b[1:]
	next := func() int64 {
		v, n := binary.Varint(rest)
		rest = rest[n:]
		return v
	}
	what, epoch, rev, thing, base = int(b[0]), int(next()), next(), int(next()), -1
	if len(rest) > 0 {
		base = next()
	}
	return what, epoch, rev, thing, base
}

func nameOf(epoch int) string { return fmt.Sprint("epoch", epoch) }

func (m *model) name() string { return nameOf(m.epoch) }

func (m *model) newest() map[int]int64 {
	newest := map[int]int64{}
	for i, thing := range m.changes {
		newest[thing] = int64(i + 1)
	}
	return newest
}

// after returns the folded changes after a rev, as a store does.
func (m *model) after(after int64) (frames []hub.Frame, through int64) {
	newest := m.newest()
	through = int64(len(m.changes))
	for i := after; i < int64(len(m.changes)); i++ {
		if rev := i + 1; newest[m.changes[i]] == rev {
			if len(frames) == m.page {
				return frames, frames[len(frames)-1].Rev
			}
			data := frame(change, m.epoch, rev, m.changes[i])
			frames = append(frames, hub.Frame{Rev: rev, Data: binary.AppendVarint(data, after)})
		}
	}
	return frames, max(through, after)
}

func (m *model) Fill(_ context.Context, epoch string, after int64) (hub.Page, error) {
	before, _ := m.topic.Head()
	page, turn, err := m.fill(before, epoch, after)
	if err == nil {
		m.topic.Turn(turn)
	}
	return page, err
}

func (m *model) fill(before, epoch string, after int64) (hub.Page, hub.Turn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fills++; m.fills > 10_000 {
		m.spinning = true // a cursor is filled over and over
	}
	if m.failing || m.spinning {
		return hub.Page{}, hub.Turn{}, errors.New("the store is down")
	}
	turn := m.turn(before)
	head := int64(len(m.changes))
	if m.seen != nil {
		m.seen[m.name()] = head
	}
	if after > m.common(epoch) {
		m.resets[[2]int64{int64(m.epoch), head}] = m.newest()
		return hub.Page{Epoch: m.name(), Through: head, Reset: true,
			Frames: []hub.Frame{{Rev: head, Data: frame(reset, m.epoch, head, 0)}}}, turn, nil
	}
	frames, through := m.after(after)
	return hub.Page{Epoch: m.name(), Frames: frames, Through: through, Head: head}, turn, nil
}

func (m *model) Synced(epoch string, rev int64) []byte {
	var n int
	if _, err := fmt.Sscanf(epoch, "epoch%d", &n); err != nil {
		panic(err)
	}
	return frame(synced, n, rev, 0)
}

// reader is a sink with one subscription that checks what it is given.
type reader struct {
	hub.Sub
	m    *model
	lane int
	pack bool

	mu      sync.Mutex
	room    int  // frames it takes before it refuses; -1: all
	refused bool // it owes a Wake
	epoch   int
	cursor  int64
	base    int64         // of the folded page that the last frame was from
	seen    map[int]int64 // thing → rev
	synced  int
	lost    bool // has been sent what the log has lost
	gone    bool
	err     error
}

func (r *reader) Lane() int { return r.lane }

func (r *reader) Packs() bool { return r.pack }

func (r *reader) Write(joined []byte, frames [][]byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		r.fail("a frame after Detach")
	}
	n := 0
	for _, f := range frames {
		n += len(f)
	}
	if n != len(joined) {
		r.fail("joined has %d bytes, the frames %d", len(joined), n)
	}
	for i, f := range frames {
		if r.room == 0 {
			r.refused = true
			return i
		}
		if r.room > 0 {
			r.room--
		}
		r.take(f)
	}
	return len(frames)
}

func (r *reader) take(f []byte) {
	f, isPacked := unpack(f)
	what, epoch, rev, thing, base := parse(f)
	if want := r.pack && (what == change || what == reset) && pack(f) != nil; isPacked != want {
		r.fail("rev %d came packed: %v, want %v", rev, isPacked, want)
	}
	if base >= 0 && r.cursor > base && r.base != base {
		r.fail("rev %d comes from a page made for %d, reader stood at %d", rev, base, r.cursor)
	}
	r.base = base
	switch what {
	case change:
		if rev <= r.cursor {
			r.fail("rev %d after %d", rev, r.cursor)
		}
		r.cursor, r.seen[thing] = rev, rev
	case synced:
		r.synced++
		if rev < r.cursor {
			r.fail("synced at %d, was sent %d", rev, r.cursor)
		}
		r.epoch, r.cursor = epoch, rev
	case reset:
		if !r.lost {
			r.fail("reset at %d of epoch %d, and nothing of it is lost", r.cursor, r.epoch)
		}
		r.epoch, r.cursor, r.lost = epoch, rev, false
		r.m.mu.Lock()
		r.seen = maps.Clone(r.m.resets[[2]int64{int64(epoch), rev}])
		r.m.mu.Unlock()
	}
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// open lets the reader take n more frames, or everything with n < 0.
func (r *reader) open(n int) {
	r.mu.Lock()
	r.room = n
	wake := r.refused && n != 0
	if wake {
		r.refused = false
	}
	r.mu.Unlock()
	if wake {
		r.Wake()
	}
}

// op is one step of a random run; the meaning of n depends on it.
type op struct {
	Kind string
	N    int
	Who  int
}

func ops() *rapid.Generator[op] {
	return rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind: rapid.SampledFrom([]string{
				"append", "append", "append", "remote", "skip", "catchup", "join", "resume",
				"stall", "open", "open", "leave", "trim", "epoch", "turn", "turn", "return", "fail", "heal", "signal", "settle",
			}).Draw(t, "kind"),
			N:   rapid.IntRange(0, 12).Draw(t, "n"),
			Who: rapid.IntRange(0, 7).Draw(t, "who"),
		}
	})
}

// Invariant 2: for any interleaving of appends, folded pages, joins, stalls,
// ring overruns, failures of the store, new epochs and leaves, every cursor
// sees every change once, in rev order, superseded states possibly folded; and nobody starts over of whose log nothing
// has been lost.
func TestEveryCursorSeesEveryChangeOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(ops(), 1, 80).Draw(rt, "steps")
		ring := rapid.IntRange(1, 12).Draw(rt, "ring")
		page := rapid.IntRange(1, 5).Draw(rt, "page")
		things := rapid.IntRange(1, 30).Draw(rt, "things")
		var err error
		synctest.Test(t, func(t *testing.T) { err = run(steps, ring, page, things) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func run(steps []op, ring, page, things int) error {
	h := hub.New(hub.Options{Lanes: 2, Spread: 1 + ring%3, RingFrames: ring, Fills: 2, Pack: pack, Logger: slog.New(slog.DiscardHandler)})
	defer h.Close()
	m := &model{page: page, topic: new(hub.Topic), resets: map[[2]int64]map[int]int64{}, seen: map[string]int64{}}
	m.topic.Init(h, m)
	var readers []*reader
	published := 0 // how much of the log the topic has been told of

	catchUp := func() {
		for {
			before, _ := m.topic.Head()
			m.mu.Lock()
			turn := m.turn(before)
			m.mu.Unlock()
			m.topic.Turn(turn)
			m.mu.Lock()
			_, head := m.topic.Head()
			head = max(head, 0)
			frames, through := m.after(head)
			end := int64(len(m.changes))
			epoch := m.name()
			m.mu.Unlock()
			m.topic.Append(epoch, head, through, true, frames)
			if through >= end {
				published = int(end)
				return
			}
		}
	}
	join := func(of int, cursor int64, lane int, resume bool) {
		m.mu.Lock()
		r := &reader{m: m, lane: lane, room: -1, epoch: of, cursor: cursor, seen: map[int]int64{}, pack: len(readers)%2 == 0}
		for i, thing := range m.changes[:min(cursor, int64(len(m.changes)))] {
			r.seen[thing] = int64(i + 1)
		}
		// What it has seen of the log is of its epoch.
		epoch := nameOf(of)
		head := max(cursor, m.common(epoch))
		// The topic may have what the log has lost, and not know it.
		known, end := m.topic.Head()
		r.lost = cursor > m.common(epoch) || end > m.common(known)
		m.mu.Unlock()
		readers = append(readers, r)
		m.topic.Attach(&r.Sub, r, epoch, cursor, head, resume)
	}
	for i, o := range steps {
		var who *reader
		if len(readers) > 0 {
			who = readers[o.Who%len(readers)]
		}
		m.mu.Lock()
		head := int64(len(m.changes))
		m.mu.Unlock()
		switch o.Kind {
		case "append", "remote", "skip":
			m.mu.Lock()
			var frames []hub.Frame
			for k := range o.N {
				thing := (i*7 + k*o.Who) % things
				m.changes = append(m.changes, thing)
				rev := int64(len(m.changes))
				frames = append(frames, hub.Frame{Rev: rev, Data: frame(change, m.epoch, rev, thing)})
			}
			epoch, through := m.name(), int64(len(m.changes))
			m.mu.Unlock()
			if o.Kind == "skip" && m.topic.Len() == 0 {
				m.topic.Skip(epoch, through)
				published = int(through)
			}
			if o.Kind == "append" {
				if m.topic.Append(epoch, head, through, false, frames) {
					published = int(through)
				} else {
					catchUp()
				}
			}
		case "catchup":
			catchUp()
		case "join":
			join(m.epoch, head, o.Who, false)
		case "resume":
			join(m.epoch, max(0, head-int64(o.N)), o.Who, true)
		case "return": // to a log that may have another epoch since
			if len(m.past) > 0 {
				p := m.past[o.N%len(m.past)]
				join(p.epoch, max(0, p.rev+1-int64(o.Who)), o.Who, o.N%2 == 0)
			}
		case "stall":
			if who != nil {
				who.open(0)
			}
		case "open":
			if who != nil {
				who.open(o.N)
			}
		case "leave":
			if who != nil && o.N < 4 {
				who.Detach()
				who.mu.Lock()
				who.gone = true
				who.mu.Unlock()
			}
		case "trim":
			h.Trim(0)
		case "epoch":
			if o.N == 0 {
				m.mu.Lock()
				m.epoch++
				m.past = nil
				m.changes = append([]int(nil), m.changes[:min(len(m.changes), o.Who)]...)
				lose(readers)
				before, _ := m.topic.Head()
				turn := m.turn(before)
				m.mu.Unlock()
				m.topic.Turn(turn)
			}
		case "turn": // the store has come back as it was, or has been restarted
			m.mu.Lock()
			upTo := len(m.changes)
			if o.Who < 4 {
				upTo = max(0, upTo-o.N)
			}
			if upTo < len(m.changes) {
				lose(readers)
			}
			m.past = append([]ended{{m.epoch, int64(upTo)}}, m.past...)
			m.epoch++
			m.changes = append([]int(nil), m.changes[:upTo]...)
			m.mu.Unlock()
			if o.Who%2 == 0 {
				catchUp()
			}
		case "fail", "heal":
			m.mu.Lock()
			m.failing = o.Kind == "fail"
			m.mu.Unlock()
		case "signal":
			m.topic.Signal(frame(signal, 0, 0, 0))
		case "settle":
			synctest.Wait()
		}
	}
	m.mu.Lock()
	m.failing = false
	m.mu.Unlock()
	catchUp()
	for _, r := range readers {
		r.open(-1)
	}
	time.Sleep(time.Minute) // fake time: retries have come round
	synctest.Wait()
	return verify(m, readers, published)
}

// lose notes that something of the log is lost, perhaps of what they have seen.
func lose(readers []*reader) {
	for _, r := range readers {
		r.mu.Lock()
		r.lost = true
		r.mu.Unlock()
	}
}

func verify(m *model, readers []*reader, published int) error {
	if m.spinning {
		return errors.New("the log is asked without end")
	}
	newest := m.newest()
	for i, r := range readers {
		cursor := r.Cursor()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err != nil {
			return fmt.Errorf("reader %d: %w", i, r.err)
		}
		if r.gone {
			continue
		}
		if r.epoch != m.epoch {
			return fmt.Errorf("reader %d: in epoch %d, the log in %d", i, r.epoch, m.epoch)
		}
		for thing, rev := range newest {
			if r.seen[thing] != rev {
				return fmt.Errorf("reader %d: thing %d seen at rev %d, newest is %d (head %d)", i, thing, r.seen[thing], rev, len(m.changes))
			}
		}
		if cursor != int64(published) {
			return fmt.Errorf("reader %d: cursor %d, head %d", i, cursor, published)
		}
	}
	return nil
}

func TestMembersThatKeepUpAreNotServedFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Lanes: 2, Spread: 1})
		defer h.Close()
		m := &model{page: 10, topic: new(hub.Topic)}
		m.topic.Init(h, m)
		var readers []*reader
		for i := range 100 {
			r := &reader{m: m, lane: i, room: -1, seen: map[int]int64{}}
			m.topic.Attach(&r.Sub, r, m.name(), 0, 0, false)
			readers = append(readers, r)
		}
		for rev := int64(1); rev <= 1000; rev++ {
			require.True(t, m.topic.Append(m.name(), rev-1, rev, false, []hub.Frame{{Rev: rev, Data: frame(change, 0, rev, int(rev))}}))
			synctest.Wait()
		}
		for _, r := range readers {
			require.NoError(t, r.err)
			require.Len(t, r.seen, 1000)
		}
		require.Zero(t, h.Stats().Fills)
		require.EqualValues(t, 100*1000, h.Stats().Delivered)
	})
}
