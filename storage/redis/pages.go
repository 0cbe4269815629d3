package redis

import (
	"context"
	"strings"

	"github.com/gabblehq/chat"
)

// beyond is above every rev and seq, and exact as a number in Lua.
const beyond = 1 << 52

// snapshot runs read.lua. A room that does not exist is errNoRoom.
func (s *Store) snapshot(ctx context.Context, room, kind string, arg any, limit int) ([]any, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	cmd := s.snapshotCommand(ctx, room, kind, arg, limit)
	if err := s.read(ctx, cmd); err != nil {
		return nil, err
	}
	return snapshotReply(cmd)
}

// atMost bounds a limit to what the scripts can count with.
func atMost(limit int) int { return min(max(limit, 0), 1<<30) }

func (s *Store) snapshotCommand(ctx context.Context, room, kind string, arg any, limit int) *command {
	return s.scripts.read.command(ctx, s.keys.room(room)[:4], kind, s.cutoff(), arg, atMost(limit))
}

func snapshotReply(cmd *command) ([]any, error) {
	reply, ok := cmd.Val().([]any)
	switch {
	case !ok || len(reply) > 0 && len(reply) < 8:
		return nil, unavailable(errCorrupt)
	case len(reply) == 0:
		return nil, errNoRoom
	}
	return reply, nil
}

// page reads what all kinds of pages begin with.
func (s *Store) page(room string, reply []any) (p chat.Page, more bool) {
	p = chat.Page{
		Head:  position(reply),
		Floor: number(reply[3]),
		Room:  s.settings(room, text(reply[4]), text(reply[5])),
		Past:  parsePast(text(reply[7])),
	}
	return p, number(reply[6]) == 1
}

// parsePast reads "epoch rev epoch rev …". What is damaged ends it: positions
// that are not vouched for start over.
func parsePast(s string) []chat.Position {
	if s == "" {
		return nil
	}
	words := strings.Fields(s)
	past := make([]chat.Position, 0, min(len(words)/2, chat.MaxPast))
	for ; len(words) >= 2 && len(past) < chat.MaxPast; words = words[2:] {
		rev, err := parseInt(words[1])
		if err != nil {
			break
		}
		past = append(past, chat.Position{Epoch: words[0], Rev: rev})
	}
	return past
}

func position(reply []any) chat.Position {
	return chat.Position{Epoch: text(reply[0]), Rev: number(reply[1]), Seq: number(reply[2])}
}

// Head implements [chat.Store].
func (s *Store) Head(ctx context.Context, room string) (chat.Position, error) {
	reply, err := s.snapshot(ctx, room, "head", 0, 0)
	if err != nil {
		return chat.Position{}, err
	}
	return position(reply), nil
}

// Changes implements [chat.Store].
func (s *Store) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	after = min(max(after, 0), beyond)
	reply, err := s.snapshot(ctx, room, "changes", after, limit)
	if err != nil {
		return chat.Page{}, err
	}
	p, more := s.page(room, reply)
	for rows := reply[8:]; len(rows) >= 2; rows = rows[2:] {
		if text(rows[0]) == "i" {
			info := cloneRoom(*p.Room)
			p.Entries = append(p.Entries, chat.Entry{Rev: info.Rev, Room: &info})
			continue
		}
		m := s.message(room, p.Room.ID, number(rows[0]), text(rows[1]))
		p.Entries = append(p.Entries, chat.Entry{Rev: m.Rev, Message: &m})
	}
	switch p.Through = p.Head.Rev; {
	case after >= p.Head.Rev: // never beyond the head: what comes next is not to be passed over
	case limit <= 0:
		p.Through, p.More = after, true
	case more:
		p.Through, p.More = p.Entries[len(p.Entries)-1].Rev, true
	}
	return p, nil
}

// History implements [chat.Store].
func (s *Store) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	kind, arg := "before", any(min(max(q.Before, 0), beyond))
	switch {
	case q.Limit <= 0:
		kind = "head"
	case q.ID != "":
		kind, arg = "id", q.ID
	case q.Nonce != "":
		kind, arg = "nonce", string(keyOf(q.User, q.Nonce))
	case q.After > 0:
		kind, arg = "after", min(q.After, beyond)
	case q.Around > 0:
		kind, arg = "around", min(q.Around, beyond)
	}
	reply, err := s.snapshot(ctx, room, kind, arg, q.Limit)
	if err != nil {
		return chat.Page{}, err
	}
	p, more := s.page(room, reply)
	p.More = more
	if rows := reply[8:]; len(rows) >= 2 {
		p.Messages = make([]chat.Message, 0, len(rows)/2)
		for ; len(rows) >= 2; rows = rows[2:] {
			p.Messages = append(p.Messages, s.message(room, p.Room.ID, number(rows[0]), text(rows[1])))
		}
	}
	return p, nil
}
