package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gabblehq/chat"
)

// Keys is how many keys the limiter remembers.
func (l *Limiter) Keys() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.budgets)
}

// Encode makes a record as the script keeps it.
func Encode(m *chat.Message) string { return "1 2 " + string(encodeMessage(m)) }

// EncodeRoom makes a record as the script keeps it.
func EncodeRoom(r *chat.RoomInfo) string { return "3 " + string(encodeRoom(r)) }

// Grown is a record of a version that has more fields.
func Grown(rec, fields string) string {
	r := reader{rest: rec}
	r.number()
	r.number()
	return rec[:len(rec)-len(r.rest)] + grow(r.rest, len(r.rest)-len(strip(r.rest)), fields)
}

// GrownRoom is settings of a version that has more fields.
func GrownRoom(rec, fields string) string {
	r := reader{rest: rec}
	r.number()
	return rec[:len(rec)-len(r.rest)] + grow(r.rest, 0, fields)
}

// strip takes what is visible off a message's record.
func strip(rec string) string {
	r := reader{rest: rec}
	r.number()
	r.take(uint64(r.number()))
	return r.rest
}

func grow(rec string, head int, fields string) string {
	return string(seal([]byte(rec+fields), head))
}

// The decoders.
var (
	Decode     = decodeStored
	DecodeRoom = decodeStoredRoom
	ParseHint  = func(payload string) (chat.Hint, bool) {
		h, ok := parseMoved(payload)
		return h.hint(), ok
	}
)

// Dial makes the client of a URL.
var Dial = dial

// AppendCommand is what the store sends to add a message, the key of its nonce
// replaced. The script is loaded.
func AppendCommand(s *Store, room string, m chat.Message, nonce string) []string {
	changes := []chat.Change{{Kind: chat.ChangeCreate, Message: m}}
	a := &appending{s: s, room: room, changes: changes}
	p := newPlan(assumption(changes), chat.Position{}, changes)
	ids, _ := a.asks(p.fresh)
	argv := a.argv("a", p, ids, []nonceKey{keyOf(m.User, m.Nonce)})
	var out []string
	for _, arg := range s.scripts.append.command(context.Background(), s.keys.room(room), argv...).Args() {
		text := fmt.Sprint(arg)
		if b, ok := arg.([]byte); ok {
			text = string(b)
		}
		if text == string(keyOf(m.User, m.Nonce)) {
			text = nonce
		}
		out = append(out, strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' { // cannot stand on a command line, and the script does not look
				return 'x'
			}
			return r
		}, text))
	}
	return out
}

// Gather has appends to one server wait until there are n, and sends them
// together.
func Gather(s *Store, n int) (sent <-chan struct{}) {
	l, _ := s.lane(context.Background(), 0)
	l.mu.Lock()
	l.flights = flights
	l.mu.Unlock()
	done := make(chan struct{})
	s.wg.Add(1)
	go func() {
		defer close(done)
		for there := 0; there < n; time.Sleep(time.Millisecond) {
			l.mu.Lock()
			there = len(l.queue)
			l.mu.Unlock()
		}
		l.mu.Lock()
		l.flights = 1
		l.mu.Unlock()
		l.fly()
	}()
	return done
}

// Leap makes the wall clock that messages age by read as if somebody had set it
// ahead by d.
func (s *Store) Leap(d time.Duration) { s.clock.Leap(d) }
