package redis

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

const (
	// presenceTTL is how long who is in a room is kept after it was last
	// touched; Attend touches what has not changed for a part of it.
	presenceTTL = 7 * 24 * time.Hour
	touchAfter  = presenceTTL / 4
	touchEvery  = time.Hour

	// attendPerCommand bounds how long one script runs.
	attendPerCommand = 250
)

// attended are the rooms that nodes of this process have named in Attend, by
// when Redis was last told to keep who is in them.
type attended struct {
	mu      sync.Mutex
	touched map[string]time.Time
	looked  time.Time
}

// note remembers the room and returns those that are due to be touched.
func (a *attended) note(now time.Time, rooms []string) (due []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.touched == nil {
		a.touched, a.looked = make(map[string]time.Time), now
	}
	for _, room := range rooms {
		a.touched[room] = now
	}
	if now.Sub(a.looked) < touchEvery {
		return nil
	}
	a.looked = now
	for room, at := range a.touched {
		if now.Sub(at) > touchAfter {
			a.touched[room] = now
			due = append(due, room)
		}
	}
	return due
}

func (a *attended) forget(room string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.touched, room)
}

// Attend implements [chat.PresenceKeeper]. It costs one round trip, with
// changes two.
func (s *Store) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) (nodes []string, lapsed bool, err error) {
	if err := alive(ctx); err != nil {
		return nil, false, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	cmd := s.scripts.presence.command(ctx, []string{s.keys.nodes(), s.keys.incarnations()},
		"lease", node, lease.Milliseconds(), rand.Text()[:16], s.lives())
	if err := s.read(ctx, cmd); err != nil {
		return nil, false, err
	}
	reply, _ := cmd.Val().([]any)
	if len(reply) < 2 {
		return nil, false, unavailable(errCorrupt)
	}
	for rest := reply[2:]; len(rest) >= 2; rest = rest[2:] {
		nodes = append(nodes, text(rest[0]))
	}
	if err := s.attend(ctx, node, text(reply[1]), changes); err != nil {
		return nil, false, err
	}
	return nodes, number(reply[0]) == 1, nil
}

// attend notes changes of one incarnation of a node.
func (s *Store) attend(ctx context.Context, node, incarnation string, changes []chat.Attendance) error {
	byRoom := make(map[string][]chat.Attendance)
	var rooms []string
	for _, c := range changes {
		if byRoom[c.Room] == nil {
			rooms = append(rooms, c.Room)
		}
		byRoom[c.Room] = append(byRoom[c.Room], c)
	}
	var cmds []*command
	for _, room := range rooms {
		for part := range slices.Chunk(byRoom[room], attendPerCommand) {
			cmds = append(cmds, s.attendCommand(ctx, room, node, incarnation, part))
		}
	}
	due := s.rooms.note(time.Now(), rooms)
	for _, room := range due {
		cmds = append(cmds, s.scripts.presence.command(ctx, []string{s.keys.presence(room)}, "keep", presenceTTL.Milliseconds()))
	}
	if err := s.read(ctx, cmds...); err != nil {
		return err
	}
	for i, cmd := range cmds[len(cmds)-len(due):] {
		if reply, _ := cmd.Val().([]any); len(reply) == 1 && number(reply[0]) == 0 {
			s.rooms.forget(due[i]) // nobody is there
		}
	}
	return nil
}

func (s *Store) attendCommand(ctx context.Context, room, node, incarnation string, changes []chat.Attendance) *command {
	b := bucketOf(room)
	argv := make([]any, 0, 5+2*len(changes))
	argv = append(argv, "attend", s.keys.channel(b), room, presenceTTL.Milliseconds(), encodeAttendances(node, changes))
	for i := range changes {
		c := &changes[i]
		argv = append(argv, presenceField(node, incarnation, c.User.ID))
		if c.Gone {
			argv = append(argv, "")
		} else {
			argv = append(argv, putString(putString(nil, c.User.Name), c.User.Avatar))
		}
	}
	return s.scripts.presence.command(ctx, []string{s.keys.presence(room), s.keys.counter(b)}, argv...)
}

func presenceField(node, incarnation, user string) []byte {
	return append(putString(putString(nil, node), incarnation), user...)
}

// Attendances implements [chat.PresenceKeeper]. What nodes have left behind
// whose lease has ended goes on the way.
func (s *Store) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	if len(rooms) == 0 {
		return nil, nil
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	cmds := make([]*command, 0, 1+len(rooms))
	for _, room := range rooms {
		cmds = append(cmds, s.scripts.presence.command(ctx, []string{s.keys.presence(room)}, "who"))
	}
	if err := s.read(ctx, cmds...); err != nil {
		return nil, err
	}
	// After them: a node that is new to the rooms must be among the living.
	living, err := s.living(ctx)
	if err != nil {
		return nil, err
	}
	var all []chat.Attendance
	for i, cmd := range cmds {
		var dead []any
		reply, _ := cmd.Val().([]any)
		for ; len(reply) >= 2; reply = reply[2:] {
			a, incarnation, ok := parsePresence(text(reply[0]), text(reply[1]))
			if !ok || living[a.Node] != incarnation {
				dead = append(dead, text(reply[0]))
				continue
			}
			a.Room = rooms[i]
			all = append(all, a)
		}
		if len(dead) > 0 {
			// Best effort: whoever reads next tries again.
			argv := append([]any{"forget"}, dead[:min(len(dead), 1000)]...)
			_ = s.read(ctx, s.scripts.presence.command(ctx, []string{s.keys.presence(rooms[i])}, argv...))
		}
	}
	return all, nil
}

// living returns the incarnations of all nodes whose lease has not run out.
func (s *Store) living(ctx context.Context) (map[string]string, error) {
	cmd := s.scripts.presence.command(ctx, []string{s.keys.nodes(), s.keys.incarnations()}, "nodes")
	if err := s.read(ctx, cmd); err != nil {
		return nil, err
	}
	reply, _ := cmd.Val().([]any)
	living := make(map[string]string, len(reply)/2)
	for ; len(reply) >= 2; reply = reply[2:] {
		living[text(reply[0])] = text(reply[1])
	}
	return living, nil
}

func parsePresence(field, value string) (a chat.Attendance, incarnation string, ok bool) {
	f, v := reader{rest: field}, reader{rest: value}
	a.Node, incarnation = f.string(), f.string()
	a.User = chat.User{ID: f.rest, Name: v.string(), Avatar: v.string()}
	return a, incarnation, !f.bad && !v.bad
}

// encodeAttendances is what watchers are told.
func encodeAttendances(node string, changes []chat.Attendance) []byte {
	b := putString(nil, node)
	for i := range changes {
		c := &changes[i]
		b = append(b, bit(c.Gone, 1))
		b = putString(putString(putString(b, c.User.ID), c.User.Name), c.User.Avatar)
	}
	return b
}

func decodeAttendances(room, payload string) ([]chat.Attendance, bool) {
	r := reader{rest: payload}
	node := r.string()
	var all []chat.Attendance
	for !r.bad && r.rest != "" {
		gone := r.take(1) == "\x01"
		all = append(all, chat.Attendance{
			Room: room, Node: node, Gone: gone, User: chat.User{ID: r.string(), Name: r.string(), Avatar: r.string()},
		})
	}
	return all, !r.bad
}
