package postgres

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// What is told by NOTIFY is a text: a number where it is kept in the table
// hints too, a space, a letter that says what it is, and JSON or, of heads, lines.
const (
	hintHeads   = 'h' // see packHeads
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

// maxHeads is how long a body of heads gets: beyond two kilobytes the server
// would compress its row.
const maxHeads = 1900

// packHeads makes bodies of lines, each of a rev, a seq, an epoch and a key:
// there are many of them, and JSON takes its time. A key that is no part of a
// line goes into a hintMissed.
func packHeads(hints []headHint) []string {
	var bodies []string
	b := make([]byte, 0, maxHeads+256)
	for i := range hints {
		h := &hints[i]
		if len(h.key) > maxKey || strings.IndexByte(h.key, '\n') >= 0 {
			bodies = append(bodies, pack(hintMissed, []string{h.key}, func(key string) string { return key })...)
			continue
		}
		if len(b) == 0 {
			b = append(b, hintHeads)
		}
		b = append(strconv.AppendInt(b, h.head.Rev, 10), ' ')
		b = append(strconv.AppendInt(b, h.head.Seq, 10), ' ')
		b = append(append(b, h.head.Epoch...), ' ')
		b = append(append(b, h.key...), '\n')
		if len(b) > maxHeads {
			bodies = append(bodies, string(b))
			b = b[:0]
		}
	}
	if len(b) > 0 {
		bodies = append(bodies, string(b))
	}
	return bodies
}

// maxKey is far more than a room's key has.
const maxKey = 1 << 10

var errHint = errors.New("not a hint")

// unpackHeads calls f with each head of a body.
func unpackHeads(text string, f func(headHint)) error {
	for line := range strings.Lines(text) {
		rev, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		seq, rest, _ := strings.Cut(rest, " ")
		epoch, key, ok := strings.Cut(rest, " ")
		r, err1 := strconv.ParseInt(rev, 10, 64)
		n, err2 := strconv.ParseInt(seq, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			return errHint
		}
		f(headHint{key, chat.Position{Epoch: epoch, Rev: r, Seq: n}})
	}
	return nil
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
