package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/gabblehq/chat"
)

// listSQL finds rooms by key in byte order, each with its newest message where
// that has not been deleted or trimmed.
const (
	summarySQL = `SELECT r.key, ` + roomColumns + `,
	m.seq, m.rev, m.first_rev, m.id, m.user, m.kind, m.content, m.nonce, m.created_at, m.edited_at, m.deleted_at,
	m.reply_to, m.thread, m.mentions, m.attachments, m.meta
	FROM ` + roomTables + ` LEFT JOIN messages m ON m.room = r.pk AND m.seq = h.seq AND m.deleted_at IS NULL AND m.created_at >= ?1
	WHERE `
	rangeSQL = `key > ?2 AND key >= ?3 AND key < ?4`
	listSQL  = summarySQL + `r.key > ?2 AND r.key >= ?3 AND r.key < ?4 ORDER BY r.key LIMIT ?5`
	// Each half has an index of its own, in the order that is asked for.
	directSQL = summarySQL + `r.pk IN (
		SELECT pk FROM (SELECT pk, key FROM rooms WHERE CASE WHEN json_valid(peers) THEN json_extract(peers, '$[0]') END = ?6 AND peers IS NOT NULL AND ` + rangeSQL + ` ORDER BY key LIMIT ?5)
		UNION
		SELECT pk FROM (SELECT pk, key FROM rooms WHERE CASE WHEN json_valid(peers) THEN json_extract(peers, '$[1]') END = ?6 AND peers IS NOT NULL AND ` + rangeSQL + ` ORDER BY key LIMIT ?5)
	) ORDER BY r.key LIMIT ?5`
)

// ListRooms implements [chat.RoomLister].
func (s *Store) ListRooms(ctx context.Context, prefix, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	return s.list(ctx, listSQL, after, prefix, limit)
}

// ListDirect implements [chat.DirectLister].
func (s *Store) ListDirect(ctx context.Context, prefix, user, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	return s.list(ctx, directSQL, after, prefix, limit, user)
}

func (s *Store) list(ctx context.Context, sql, after, prefix string, limit int, args ...driver.Value) (rooms []chat.RoomSummary, more bool, err error) {
	limit = max(limit, 0)
	args = append([]driver.Value{s.opts.oldestShown(), after, prefix, prefix + "\x7f", int64(limit) + 1}, args...)
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
		}, sql, args...)
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

// KeepsAll implements [chat.Retainer].
func (s *Store) KeepsAll() bool { return s.opts.MaxMessages == 0 && s.opts.MaxAge == 0 }

// NewEpoch implements [chat.EpochStarter].
func (s *Store) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	r := &request{op: opEpoch, room: room}
	if err := s.do(ctx, r); err != nil {
		return chat.Position{}, err
	}
	return r.head, nil
}
