package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// present is an attendance as it is told.
type present struct {
	Room   string `json:"r"`
	Node   string `json:"n"`
	User   string `json:"u"`
	Name   string `json:"m,omitempty"`
	Avatar string `json:"a,omitempty"`
	Gone   bool   `json:"g,omitempty"`
}

func (p present) attendance() chat.Attendance {
	return chat.Attendance{Room: p.Room, Node: p.Node, User: chat.User{ID: p.User, Name: p.Name, Avatar: p.Avatar}, Gone: p.Gone}
}

// present tells of attendances, those of one room together.
func (w *watcher) present(changes []present) {
	for len(changes) > 0 {
		room := changes[0].Room
		var of []chat.Attendance
		rest := changes[:0:0]
		for _, p := range changes {
			if p.Room == room {
				of = append(of, p.attendance())
			} else {
				rest = append(rest, p)
			}
		}
		w.l.Present(room, of)
		changes = rest
	}
}

// attendance is what is to be written of a call to Attend: of each user in
// each room only the last change, which is the one that stays.
type attendance struct {
	goneKeys, goneUsers         []string
	keys, users, names, avatars []string
	changes                     []present
}

func collect(node string, changes []chat.Attendance) *attendance {
	type who struct{ key, user string }
	last := make(map[who]int, len(changes))
	a := &attendance{}
	for i, c := range changes {
		last[who{c.Room, c.User.ID}] = i
		a.changes = append(a.changes, present{c.Room, node, c.User.ID, c.User.Name, c.User.Avatar, c.Gone})
	}
	for i, c := range changes {
		switch {
		case last[who{c.Room, c.User.ID}] != i:
		case c.Gone:
			a.goneKeys, a.goneUsers = append(a.goneKeys, c.Room), append(a.goneUsers, c.User.ID)
		default:
			a.keys, a.users = append(a.keys, c.Room), append(a.users, c.User.ID)
			a.names, a.avatars = append(a.names, c.User.Name), append(a.avatars, c.User.Avatar)
		}
	}
	return a
}

func (a *attendance) storable() bool {
	for _, list := range [...][]string{a.goneKeys, a.goneUsers, a.keys, a.users, a.names, a.avatars} {
		for _, text := range list {
			if !storable(text) {
				return false
			}
		}
	}
	return true
}

// Attend implements [chat.PresenceKeeper]. Time is the database's alone.
func (s *Store) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) (nodes []string, lapsed bool, err error) {
	a := collect(node, changes)
	if !a.storable() || !storable(node) {
		return nil, false, notText("user")
	}
	err = s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := &batch{s: s, conn: conn}
		defer b.rollback()
		var q pgx.Batch
		b.begin(&q)
		if lease > 0 {
			q.Queue(s.q(sqlLease), node, lease)
		} else {
			q.Queue(s.q(sqlEndLease), node)
		}
		q.QueuedQueries[q.Len()-1].QueryRow(func(row pgx.Row) error {
			before := lapsed // an attempt whose answer was lost may have found it so, and begun anew
			err := row.Scan(nil, &lapsed)
			lapsed = lapsed || before
			return err
		})
		q.Queue(s.q(sqlForget), node)
		s.queueAttendance(&q, node, a)
		q.Queue(s.q(sqlBury))
		q.Queue(s.q(sqlNodes)).Query(func(rows pgx.Rows) (err error) {
			nodes, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		q.Queue("commit")
		err := conn.SendBatch(ctx, &q).Close()
		b.closed = err == nil
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return nodes, lapsed, nil
}

func (s *Store) queueAttendance(q *pgx.Batch, node string, a *attendance) {
	if len(a.goneKeys) > 0 {
		q.Queue(s.q(sqlGone), node, a.goneKeys, a.goneUsers)
	}
	if len(a.keys) > 0 {
		q.Queue(s.q(sqlCome), node, a.keys, a.users, a.names, a.avatars)
	}
	s.queueHints(q, pack(hintPresent, a.changes, func(p present) string { return p.Room }))
}

// Attendances implements [chat.PresenceKeeper].
func (s *Store) Attendances(ctx context.Context, rooms []string) (all []chat.Attendance, err error) {
	err = s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, s.q(sqlAttendances), storables(rooms))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a chat.Attendance, err error) {
			err = row.Scan(&a.Room, &a.Node, &a.User.ID, &a.User.Name, &a.User.Avatar)
			return a, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
