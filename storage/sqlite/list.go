package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/gabblehq/chat"
)

// listSQL finds rooms by key in byte order, each with its newest message where
// that has not been deleted or trimmed.
const listSQL = `SELECT r.key, ` + roomColumns + `,
	m.seq, m.rev, m.first_rev, m.id, m.user, m.kind, m.content, m.nonce, m.created_at, m.edited_at, m.deleted_at,
	m.reply_to, m.thread, m.mentions, m.attachments, m.meta
	FROM ` + roomTables + ` LEFT JOIN messages m ON m.room = r.pk AND m.seq = h.seq AND m.deleted_at IS NULL AND m.created_at >= ?
	WHERE r.key > ? AND r.key >= ? AND r.key < ? ORDER BY r.key LIMIT ?`

// ListRooms implements [chat.RoomLister].
func (s *Store) ListRooms(ctx context.Context, prefix, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	limit = max(limit, 0)
	err = s.readers.with(ctx, func(c *conn) error {
		rooms = nil
		return c.query(func(v []driver.Value) error {
			if len(rooms)%256 == 255 && ctx.Err() != nil {
				return alive(ctx)
			}
			key, _ := v[0].(string)
			r, sound := scanRoom(v[1:1+roomWidth], key)
			if !sound {
				s.damaged(key, 0)
			}
			sum := chat.RoomSummary{Key: key, Room: *r.info, Head: r.head}
			if v[1+roomWidth] != nil {
				m := new(chat.Message)
				if scanMessage(v[1+roomWidth:], r.info.ID, m) {
					sum.LastMessage = m
				} else {
					s.damaged(key, m.Seq)
				}
			}
			rooms = append(rooms, sum)
			return nil
		}, listSQL, s.opts.oldestShown(), after, prefix, prefix+"\x7f", int64(limit)+1)
	})
	if err != nil {
		return nil, false, err
	}
	if len(rooms) > limit {
		return rooms[:limit:limit], true, nil
	}
	return rooms, false, nil
}

// RemoveRoom implements [chat.RoomRemover]. What was in the room is deleted
// from the file by and by.
func (s *Store) RemoveRoom(ctx context.Context, room string) error {
	return s.do(ctx, &request{op: opRemove, room: room})
}

// NewEpoch implements [chat.EpochStarter].
func (s *Store) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	r := &request{op: opEpoch, room: room}
	if err := s.do(ctx, r); err != nil {
		return chat.Position{}, err
	}
	return r.head, nil
}
