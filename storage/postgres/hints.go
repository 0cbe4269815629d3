package postgres

import (
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// What is told by NOTIFY is a text: a number where it is kept in the table
// hints too, a space, a letter that says what it is, and JSON.
const (
	hintHeads   = 'h' // an array of [key, epoch, rev, seq]
	hintPresent = 'p' // an array of attendances
	hintMissed  = 'm' // an array of keys of rooms in which somebody has come or gone
	hintSignal  = 's' // a signal
	hintOutbox  = 'o' // there may be something in the outbox
)

// maxHint leaves room for the number: the server takes less than 8000 bytes.
const maxHint = 7900

// headHint is where a room has moved to.
type headHint struct {
	key  string
	head chat.Position
}

// MarshalJSON makes an array, which is shorter.
func (h headHint) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{h.key, h.head.Epoch, h.head.Rev, h.head.Seq})
}

// UnmarshalJSON is the other way round.
func (h *headHint) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[...]any{&h.key, &h.head.Epoch, &h.head.Rev, &h.head.Seq})
}

// packHeads makes as few bodies as it takes.
func packHeads(hints []headHint) []string {
	return pack(hintHeads, hints, func(headHint) string { return "" })
}

// pack makes bodies of items, none too large. An item that is too large by
// itself goes into a hintMissed by its key.
func pack[T any](kind byte, items []T, key func(T) string) []string {
	var bodies []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			bodies = append(bodies, b.String()+"]")
			b.Reset()
		}
	}
	for _, item := range items {
		one, _ := json.Marshal(item) // strings and numbers cannot fail
		if len(one) > maxHint-3 {
			missed, _ := json.Marshal([]string{key(item)})
			bodies = append(bodies, string(hintMissed)+string(missed))
			continue
		}
		if b.Len()+len(one)+2 > maxHint {
			flush()
		}
		if b.Len() == 0 {
			b.WriteByte(kind)
			b.WriteByte('[')
		} else {
			b.WriteByte(',')
		}
		b.Write(one)
	}
	flush()
	return bodies
}

// queueHints tells those who watch, once the transaction commits.
func (s *Store) queueHints(q *pgx.Batch, bodies []string) {
	if len(bodies) > 0 {
		q.Queue(s.q(sqlTell), s.channel, bodies)
	}
}
