package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gabblehq/chat"
)

// The table hints holds what NOTIFY tells. A watcher looks into it this often,
// on the connection on which it listens: that finds what has been lost on the
// way, and a connection that delivers nothing.
const (
	pollEvery = 700 * time.Millisecond
	pollLimit = 800 * time.Millisecond // for an answer
	pollMost  = 10_000                 // rows; who has missed more reads the store
)

// Watch implements [chat.Watcher]. It holds one connection, beside those of
// the pool, which it makes anew when it breaks.
func (s *Store) Watch(ctx context.Context, l chat.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ending, func() { cancel(errClosed) })()
	trouble := grievance{s: s, what: "the connection that listens is lost; trying again"}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		w := watcher{s: s, l: l, pause: &pause, trouble: &trouble}
		err := w.run(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		trouble.note(err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// watcher is one connection's worth of watching.
type watcher struct {
	s        *Store
	l        chat.Listener
	pause    *time.Duration
	trouble  *grievance
	conn     *pgx.Conn
	snapshot string      // what has been told is what was visible in it
	life     pgtype.Int8 // the one in which that was

	// What has been told between the last two polls and since, so that nothing
	// is told twice or out of order because it comes both ways.
	seen [2]map[int64]bool
	told [2]map[string]chat.Position
}

func (w *watcher) run(ctx context.Context) error {
	if err := w.listen(ctx); err != nil {
		return err
	}
	defer w.close()
	*w.pause = 10 * time.Millisecond
	w.trouble.note(nil)
	w.l.Missed(nil)
	w.s.rouse()
	for {
		if err := w.await(ctx, time.Now().Add(pollEvery)); err != nil {
			return err
		}
		if err := w.poll(ctx); err != nil {
			return err
		}
	}
}

// listen takes a connection out of the pool for good.
func (w *watcher) listen(ctx context.Context) error {
	ctx, cancel := w.s.bounded(ctx)
	defer cancel()
	pooled, err := w.s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	w.conn = pooled.Hijack()
	_, err = w.conn.Exec(ctx, "LISTEN "+pgx.Identifier{w.s.channel}.Sanitize())
	if err == nil {
		err = w.conn.QueryRow(ctx, w.s.q(sqlSnapshot), w.s.rooms).Scan(&w.snapshot, &w.life)
	}
	if err != nil {
		w.close()
	}
	return err
}

func (w *watcher) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
}

// await tells of what comes until then.
func (w *watcher) await(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		n, err := w.conn.WaitForNotification(ctx)
		if err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && !w.conn.IsClosed() {
				return nil
			}
			return err
		}
		w.notified(n.Payload)
	}
}

// notified tells of a payload, with a number or without.
func (w *watcher) notified(payload string) {
	number, body, ok := strings.Cut(payload, " ")
	if !ok {
		return // not ours
	}
	if number != "" {
		id, err := strconv.ParseInt(number, 10, 64)
		if err != nil || !w.first(id) {
			return
		}
	}
	w.tell(body)
}

// first reports whether the hint has not been told yet.
func (w *watcher) first(id int64) bool {
	if w.seen[0][id] || w.seen[1][id] {
		return false
	}
	if w.seen[0] == nil {
		w.seen[0] = make(map[int64]bool)
	}
	w.seen[0][id] = true
	return true
}

// poll tells of what has become visible since the last snapshot and did not
// come by itself.
func (w *watcher) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	rows, err := w.conn.Query(ctx, w.s.q(sqlPoll), w.s.rooms, w.snapshot, pollMost)
	if err != nil {
		return err
	}
	var snapshot string
	var life pgtype.Int8
	var id *int64
	var lost []int64
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&snapshot, &life, &id}, func() error {
		if id != nil {
			if n++; w.first(*id) {
				lost = append(lost, *id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	other := life != w.life // the tables have been put back under this connection
	w.snapshot, w.life = snapshot, life
	if other {
		// Hints may have been put back with the rooms, and are numbered from there:
		// new ones have numbers that have been told before.
		w.seen, w.told = [2]map[int64]bool{}, [2]map[string]chat.Position{}
	}
	if n == pollMost || other {
		w.l.Missed(nil)
	} else if err := w.tellLost(ctx, lost); err != nil {
		return err
	}
	w.seen = [2]map[int64]bool{nil, w.seen[0]}
	w.told = [2]map[string]chat.Position{nil, w.told[0]}
	return nil
}

// tellLost tells of what did not come by itself, in the order in which it was
// noted.
func (w *watcher) tellLost(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.conn.Query(ctx, w.s.q(sqlTold), ids)
	if err != nil {
		return err
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, body := range bodies {
		w.tell(body)
	}
	return nil
}

// tell tells of one hint. One that cannot be read covers everything.
func (w *watcher) tell(body string) {
	if body == "" {
		return
	}
	var err error
	if body[0] == hintHeads {
		if unpackHeads(body[1:], w.moved) != nil {
			w.l.Missed(nil)
		}
		return
	}
	switch text := []byte(body[1:]); body[0] {
	case hintPresent:
		var changes []present
		if err = json.Unmarshal(text, &changes); err == nil {
			w.present(changes)
		}
	case hintMissed:
		var keys []string
		if err = json.Unmarshal(text, &keys); err == nil {
			w.l.Missed(anyOf(keys))
		}
	case hintSignal:
		var sig signal
		if json.Unmarshal(text, &sig) == nil {
			w.l.Signal(sig.Room, sig.Data)
		}
	case hintOutbox:
		w.s.rouse()
	}
	if err != nil {
		w.l.Missed(nil)
	}
}

// moved tells of a room's head, unless what has been told is newer.
func (w *watcher) moved(h headHint) {
	for _, told := range w.told {
		if t, ok := told[h.key]; ok && t.Epoch == h.head.Epoch && t.Rev >= h.head.Rev && h.head.Rev >= 0 {
			return
		}
	}
	if w.told[0] == nil {
		w.told[0] = make(map[string]chat.Position)
	}
	w.told[0][h.key] = h.head
	w.l.Appended(chat.Hint{Room: h.key, Head: h.head})
}

func anyOf(keys []string) func(string) bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[key] = true
	}
	return func(key string) bool { return set[key] }
}

type signal struct {
	Room string `json:"r"`
	Data []byte `json:"d"`
}

// maxSignal is how much data a signal holds.
const maxSignal = 4 << 10

// Signal implements [chat.Watcher].
func (s *Store) Signal(ctx context.Context, room string, data []byte) error {
	if len(data) > maxSignal {
		return &chat.Error{Code: chat.CodeTooLarge, Message: "a signal holds 4 KiB"}
	}
	body, _ := json.Marshal(signal{room, data}) // strings cannot fail
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_notify($1, $2)`, s.channel, " "+string(hintSignal)+string(body))
		return err
	})
}
