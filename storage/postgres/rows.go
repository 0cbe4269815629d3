package postgres

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gabblehq/chat"
)

// room is a row of rooms.
type room struct {
	id, rev, seq, base, floor int64
	key, epoch                string
	life                      int64           // known of a room that is locked
	past                      []chat.Position // not of one that is locked in a hurry
	info                      chat.RoomInfo
}

// roomTargets is where the columns of roomColumns are read into.
type roomTargets struct {
	room
	kind    string
	meta    []byte
	created pgtype.Timestamptz
	past    string
	targets [18]any
}

func (t *roomTargets) into() []any {
	i := &t.info
	t.targets = [...]any{
		&t.id, &t.key, &t.epoch, &t.rev, &t.seq, &t.base, &t.floor, &i.ID, &t.kind, &i.Title, &i.Topic, &i.Avatar,
		&i.Peers, &t.meta, &i.CreatedBy, &t.created, &i.Rev, &t.past,
	}
	return t.targets[:]
}

func (t *roomTargets) take() room {
	r := t.room
	r.info.Kind, r.info.Meta, r.info.CreatedAt = chat.RoomKind(t.kind), t.meta, utc(t.created)
	r.past = unpackPast(t.past)
	return r
}

// messageTargets is where the columns of messageColumns are read into. All may
// be null, where a join has found no message.
type messageTargets struct {
	seq, rev, firstRev                              pgtype.Int8
	created, edited, deleted                        pgtype.Timestamptz
	id, user, kind, nonce, content, replyTo, thread pgtype.Text
	mentions, attachments, meta                     []byte
	targets                                         [16]any
}

func (t *messageTargets) into() []any {
	if t.targets[0] == nil {
		t.targets = [...]any{
			&t.seq, &t.rev, &t.firstRev, &t.created, &t.edited, &t.deleted, &t.id, &t.user, &t.kind, &t.nonce, &t.content, &t.replyTo,
			&t.thread, &t.mentions, &t.attachments, &t.meta,
		}
	}
	return t.targets[:]
}

// message makes a message of the row, which belongs to the room with this id.
// One that cannot be read is shown as deleted, and said in the log.
func (s *Store) message(t *messageTargets, roomID string) chat.Message {
	m := chat.Message{
		ID: t.id.String, Room: roomID, Seq: t.seq.Int64, Rev: t.rev.Int64, FirstRev: t.firstRev.Int64,
		User: t.user.String, Kind: chat.MessageKind(t.kind.String), Content: t.content.String, Nonce: t.nonce.String,
		CreatedAt: utc(t.created), EditedAt: utc(t.edited), DeletedAt: utc(t.deleted),
		ReplyTo: t.replyTo.String, Thread: t.thread.String, Meta: t.meta,
	}
	var broken error
	if len(t.mentions) > 0 {
		broken = json.Unmarshal(t.mentions, &m.Mentions)
	}
	if len(t.attachments) > 0 && broken == nil {
		m.Attachments, broken = attachmentsOf(t.attachments)
	}
	if t.created.InfinityModifier != pgtype.Finite {
		broken = errors.New("no time of creation")
	}
	t.meta = nil // the next row must not write to it
	if broken != nil {
		s.unreadable(&m, broken)
		del := chat.Change{Kind: chat.ChangeDelete, At: m.CreatedAt.Add(time.Millisecond)}
		m, _ = del.Delete(m)
	}
	return m
}

// unreadable is said once per store: what has spoilt one row has spoilt many.
func (s *Store) unreadable(m *chat.Message, err error) {
	s.spoilt.Do(func() {
		s.log.Error("postgres: a stored message cannot be read and is shown as deleted; there may be more",
			"room", m.Room, "id", m.ID, "error", err.Error())
	})
}

// utc is the zero time for null, and for what no time.Time holds.
func utc(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// page reads a page of a room: its columns, those of one message per row, and
// then the extra ones, which are the same in each row.
func (s *Store) page(rows pgx.Rows, extra ...any) (r room, msgs []chat.Message, err error) {
	defer rows.Close()
	var rt roomTargets
	var mt messageTargets
	first := append(append(append([]any{}, rt.into()...), mt.into()...), extra...)
	later := make([]any, len(first)) // nil: passed over
	copy(later[len(rt.targets):], mt.into())
	found := false
	for rows.Next() {
		into := later
		if !found {
			into = first
		}
		if err := rows.Scan(into...); err != nil {
			return r, nil, err
		}
		if !found {
			r, found = rt.take(), true
		}
		if mt.seq.Valid {
			msgs = append(msgs, s.message(&mt, r.info.ID))
		}
	}
	if err := rows.Err(); err != nil {
		return r, nil, err
	}
	if !found {
		return r, nil, errNoRoom
	}
	return r, msgs, nil
}

func (r *room) head() chat.Position {
	return chat.Position{Epoch: r.epoch, Rev: r.rev, Seq: r.seq}
}
