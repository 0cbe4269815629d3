package redis

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat"
)

// tombstoneTTL is how long a removed room is told from a lost one.
const tombstoneTTL = 7 * 24 * time.Hour

// ListRooms implements [chat.RoomLister]. It asks all buckets, so that its
// cost does not depend on how many rooms there are but on the limit.
func (s *Store) ListRooms(ctx context.Context, prefix, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	if err := alive(ctx); err != nil {
		return nil, false, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.list(ctx, s.keys.directory, prefix, after, limit)
}

// ListDirect implements [chat.DirectLister].
func (s *Store) ListDirect(ctx context.Context, prefix, user, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	if err := alive(ctx); err != nil {
		return nil, false, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.list(ctx, func(bucket int) string { return s.keys.peer(bucket, user) }, prefix, after, limit)
}

// noteDirect puts the direct rooms that changes make into the directories of
// their users: before they are made, so that none is ever missing there. What
// is there and does not exist is passed over.
func (s *Store) noteDirect(ctx context.Context, room string, changes []chat.Change) error {
	var cmds []*command
	bucket := bucketOf(room)
	for i := range changes {
		if changes[i].Kind != chat.ChangeCreateRoom {
			continue
		}
		for _, user := range changes[i].Room.Peers {
			cmds = append(cmds, s.scripts.rooms.command(ctx, []string{s.keys.peer(bucket, user)}, "note", room))
		}
	}
	for _, cmd := range cmds {
		if _, err := s.write(ctx, bucket, cmd); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) list(ctx context.Context, directory func(bucket int) string, prefix, after string, limit int) (rooms []chat.RoomSummary, more bool, err error) {
	limit = atMost(limit)
	for {
		keys, err := s.listKeys(ctx, directory, prefix, after, limit-len(rooms))
		if err != nil {
			return nil, false, err
		}
		if n := limit - len(rooms); len(keys) > n {
			keys, more = keys[:n], true
		} else {
			more = false
		}
		some, err := s.summaries(ctx, keys)
		if err != nil {
			return nil, false, err
		}
		if rooms = append(rooms, some...); len(rooms) == limit || !more {
			return rooms, more, nil
		}
		after = keys[len(keys)-1] // some of them have been removed
	}
}

// summaries returns those of the rooms that there are.
func (s *Store) summaries(ctx context.Context, keys []string) (rooms []chat.RoomSummary, err error) {
	cmds := make([]*command, len(keys))
	for i, key := range keys {
		cmds[i] = s.snapshotCommand(ctx, key, "before", 0, 1)
	}
	if err := s.read(ctx, cmds...); err != nil {
		return nil, err
	}
	for i, cmd := range cmds {
		reply, err := snapshotReply(cmd)
		if err != nil {
			continue // it has just been removed
		}
		p, _ := s.page(keys[i], reply)
		sum := chat.RoomSummary{Key: keys[i], Room: *p.Room, Head: p.Head}
		if len(reply) >= 10 {
			if m := s.message(keys[i], p.Room.ID, number(reply[8]), text(reply[9])); !m.Deleted() {
				sum.LastMessage = &m
			}
		}
		rooms = append(rooms, sum)
	}
	return rooms, nil
}

// listKeys returns the first keys that match, one more than the limit if there
// are so many.
func (s *Store) listKeys(ctx context.Context, directory func(bucket int) string, prefix, after string, limit int) ([]string, error) {
	from := "[" + prefix
	if after >= prefix {
		from = "(" + after
	}
	if from == "(" {
		from = "-"
	}
	cmds := make([]*command, buckets)
	for b := range cmds {
		cmds[b] = s.scripts.rooms.command(ctx, []string{directory(b)}, "list", from, atMost(limit)+1)
	}
	if err := s.read(ctx, cmds...); err != nil {
		return nil, err
	}
	var keys []string
	for _, cmd := range cmds {
		members, _ := cmd.Val().([]any)
		for _, m := range members {
			if key := text(m); strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// RemoveRoom implements [chat.RoomRemover]. That it was removed, rather than
// lost, is remembered for a week.
func (s *Store) RemoveRoom(ctx context.Context, room string) error {
	reply, err := s.onRoom(ctx, room, "remove", tombstoneTTL.Milliseconds())
	if err == nil && len(reply) == 0 {
		err = errNoRoom
	}
	return err
}

// KeepsAll implements [chat.Retainer].
func (s *Store) KeepsAll() bool { return s.opts.MaxMessages == 0 && s.opts.MaxAge == 0 }

// Trim implements [chat.Trimmer].
func (s *Store) Trim(ctx context.Context, room string, keep int) error {
	reply, err := s.onRoom(ctx, room, "trim", max(keep, 1))
	if err == nil && len(reply) == 0 {
		err = errNoRoom
	}
	return err
}

// NewEpoch implements [chat.EpochStarter].
func (s *Store) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	reply, err := s.onRoom(ctx, room, "epoch", rand.Text())
	switch {
	case err != nil:
		return chat.Position{}, err
	case len(reply) < 3:
		return chat.Position{}, errNoRoom
	}
	return position(reply), nil
}

func (s *Store) onRoom(ctx context.Context, room, what string, arg any) ([]any, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	bucket := bucketOf(room)
	cmd := s.scripts.rooms.command(ctx, s.keys.room(room), what, s.keys.channel(bucket), room, arg)
	return s.write(ctx, bucket, cmd)
}

// headsPerCommand bounds how long one script runs.
const headsPerCommand = 200

// Heads is part of [chat.Watcher].
func (s *Store) Heads(ctx context.Context, rooms []string) ([]chat.Position, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	byBucket := make(map[int][]int) // places in rooms
	for i, room := range rooms {
		b := bucketOf(room)
		byBucket[b] = append(byBucket[b], i)
	}
	var cmds []*command
	var asked [][]int
	for _, places := range byBucket {
		for part := range slices.Chunk(places, headsPerCommand) {
			var keys []string
			for _, i := range part {
				k := s.keys.room(rooms[i])
				keys = append(keys, k[0], k[4])
			}
			cmds, asked = append(cmds, s.scripts.rooms.command(ctx, keys, "heads")), append(asked, part)
		}
	}
	if err := s.read(ctx, cmds...); err != nil {
		return nil, err
	}
	heads := make([]chat.Position, len(rooms))
	for c, cmd := range cmds {
		reply, _ := cmd.Val().([]any)
		if len(reply) != 3*len(asked[c]) {
			return nil, unavailable(errCorrupt)
		}
		for j, i := range asked[c] {
			heads[i] = position(reply[3*j:])
		}
	}
	return heads, nil
}
