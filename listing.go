package chat

import (
	"context"
	"math"
	"net/http"
	"strings"

	"github.com/gabblehq/chat/internal/presence"
	"github.com/gabblehq/chat/internal/wire"
)

// RoomPage is a page of the list of rooms.
type RoomPage struct {
	Rooms  []RoomSummary
	More   bool
	Cursor string // for the next page
}

// Rooms lists the rooms by id, at most limit of them, after the cursor of a
// page before, "" at the start. Cursors are opaque. It needs a Store that is a
// [RoomLister], else it is ErrUnsupported.
func (s *Server) Rooms(ctx context.Context, cursor string, limit int) (RoomPage, error) {
	after, ok := readCursor(cursor)
	if !ok {
		return RoomPage{}, errCursor
	}
	if !s.inUse.Enter() {
		return RoomPage{}, ErrServerClosed
	}
	defer s.inUse.Leave()
	store, err := s.lister()
	if err != nil {
		return RoomPage{}, err
	}
	limit = max(limit, 0)
	l := listing{s: s, after: after, limit: limit, bytes: math.MaxInt, skip: math.MaxInt}
	_, err = l.all(ctx, store.ListRooms, func(*RoomSummary) (take, end bool) { return true, false })
	if err != nil {
		return RoomPage{}, err
	}
	page := RoomPage{Rooms: l.rooms, More: l.more, Cursor: cursor}
	for i := range page.Rooms {
		sum := &page.Rooms[i]
		sum.Room = *cloneInfo(&sum.Room)
		if m := sum.LastMessage; m != nil {
			last := cloneMessage(*m)
			last.Room = sum.Room.ID
			sum.LastMessage = &last
		}
	}
	if n := len(page.Rooms); n > 0 {
		page.Cursor = makeCursor(page.Rooms[n-1].Room.ID)
	}
	return page, nil
}

func (s *Server) lister() (RoomLister, error) {
	store, ok := capability[RoomLister](s.opt.Store)
	if !ok {
		return nil, &Error{Code: CodeUnsupported, Message: "the store cannot list rooms"}
	}
	return store, nil
}

// listedAtOnce is how many rooms are read at once: a page must cost few reads,
// and a read must not hold much of which nothing is shown.
const listedAtOnce = 64

// listing is a page of rooms as it comes together.
type listing struct {
	s     *Server
	after string // id of the room that the page begins behind
	limit int
	bytes int // that are left
	skip  int // rooms that may still be looked at and not taken
	rooms []RoomSummary
	more  bool
	at    string // where no more may be looked at: id of the last one
}

// all adds those rooms of a list that are to be taken, until the page is full
// or one of them ends it. It reports whether it has come to the end.
func (l *listing) all(ctx context.Context, list func(ctx context.Context, prefix, after string, limit int) ([]RoomSummary, bool, error),
	which func(*RoomSummary) (take, end bool)) (done bool, err error) {
	s := l.s
	prefix, after := s.key(""), ""
	if l.after != "" {
		after = s.key(l.after)
	}
	n := min(l.limit+1, listedAtOnce)
	for ; ; n = min(2*n, listedAtOnce) { // the more that are not taken
		var rooms []RoomSummary
		var more bool
		err := s.callStore(ctx, func(ctx context.Context) (err error) {
			rooms, more, err = list(ctx, prefix, after, n)
			return err
		})
		if err != nil {
			return false, err
		}
		for i := range rooms {
			sum := &rooms[i]
			after = sum.Key
			sum.Room.ID = strings.TrimPrefix(sum.Key, prefix)
			take, end := false, false
			if !strings.Contains(sum.Room.ID, "/") && sum.Room.ID != controlRoom { // a tenant's, of a server without one; or no room of users
				take, end = which(sum)
			}
			if end {
				return true, nil
			}
			if !take {
				if l.skip--; l.skip == 0 {
					l.more, l.at = true, sum.Room.ID
					return false, nil
				}
				continue
			}
			size := summarySize(sum)
			if len(l.rooms) == l.limit || len(l.rooms) > 0 && size > l.bytes {
				l.more = true
				return false, nil
			}
			l.bytes -= size
			l.rooms = append(l.rooms, *sum)
		}
		if !more || len(rooms) == 0 {
			return true, nil
		}
	}
}

// summarySize is about the size of a room in a page.
func summarySize(sum *RoomSummary) int {
	w := wire.Room{ID: sum.Room.ID, Title: sum.Room.Title, Topic: sum.Room.Topic, Avatar: sum.Room.Avatar, Meta: sum.Room.Meta}
	n := roomSize(&w) + len(sum.Room.Peers)*shownUser
	if sum.LastMessage != nil {
		n += messageSize(sum.LastMessage) + shownUser
	}
	return n
}

// shownUser is how much a user takes whose name is not known yet.
const shownUser = 256

// preview is how many characters the last message of a room is shown with in a
// list, and previewSize the size up to which it is shown whole.
const (
	preview     = 200
	previewSize = 1 << 10
)

// abridge makes the last message of a room in a list as short as a list needs
// it: a page of the longest would hold four rooms.
func abridge(m *Message) *Message {
	if messageSize(m) <= 256+previewSize {
		return m
	}
	short := *m
	n := 0
	for i := range short.Content {
		if n++; n > preview {
			short.Content = short.Content[:i] + "…"
			break
		}
	}
	short.Mentions, short.Attachments, short.Meta = nil, nil, nil
	return &short
}

// roomsCommand lists the rooms that its user may read.
var roomsCommand = command{
	typ: CmdRooms, class: ClassRead,
	take: (*call).takePage, run: (*call).listRooms, reply: (*call).shown, again: (*call).listAgain,
	routes: []route{{pattern: "GET /rooms", status: http.StatusOK, read: (*call).readPage}},
}

// listRooms lists the rooms that the user may read: the user's direct rooms,
// and then the others.
func (c *call) listRooms(ctx context.Context, _ visit) error {
	s := c.srv
	c.everywhere = true
	c.permitted()
	user := c.cmd.User
	store, err := s.lister()
	if err != nil {
		return err
	}
	after, err := s.openCursor(ctx, user.ID, c.cursor)
	if err != nil {
		return err
	}
	limit := c.limit
	if limit == 0 {
		limit = s.opt.Limits.History
	}
	l := listing{s: s, limit: min(limit, s.opt.Limits.MaxHistory), bytes: s.opt.Limits.PageBytes, skip: maxSkipped}
	readable := func(sum *RoomSummary) bool {
		if sum.LastMessage != nil {
			sum.LastMessage = abridge(sum.LastMessage)
		}
		return s.may(ctx, user, ActionRead, &sum.Room) == nil
	}
	done := true
	if after == "" || reserved(after) {
		// Direct rooms have ids that sort behind all others.
		l.after = max(after, "}")
		direct := store.ListRooms
		if d, ok := capability[DirectLister](s.opt.Store); ok {
			direct = func(ctx context.Context, prefix, after string, limit int) ([]RoomSummary, bool, error) {
				return d.ListDirect(ctx, prefix, user.ID, after, limit)
			}
		}
		done, err = l.all(ctx, direct, func(sum *RoomSummary) (take, end bool) {
			return sum.Room.isPeer(user.ID) && readable(sum), false
		})
		after = ""
	}
	if err == nil && done {
		l.after = after
		_, err = l.all(ctx, store.ListRooms, func(sum *RoomSummary) (take, end bool) {
			if reserved(sum.Room.ID) {
				return false, true
			}
			return readable(sum), false
		})
	}
	if err != nil {
		return err
	}
	return c.fillPage(ctx, &l)
}

// maxListings is how often a list of rooms is made anew at most.
const maxListings = 8

var errTooManyRevoked = &Error{Code: CodeUnavailable, Message: "permissions change too fast", RetryAfter: retryStore}

// listAgain makes the list anew, as any permission has ended meanwhile.
func (c *call) listAgain(ctx context.Context) error {
	if c.tries++; c.tries > maxListings {
		return errTooManyRevoked
	}
	if c.s != nil {
		c.cmd.User = c.srv.user(c.s.user())
	}
	return c.listRooms(ctx, visit{})
}

// fillPage makes the answer of a listing.
func (c *call) fillPage(ctx context.Context, l *listing) error {
	s := c.srv
	page := &wire.Rooms{Ref: c.wire.Ref, More: l.more}
	if n := len(l.rooms); l.more && n > 0 {
		// Only what is shown may be read in the cursor, see sealCursor.
		page.Cursor = makeCursor(l.rooms[n-1].Room.ID)
	}
	if l.at != "" {
		var err error
		if page.Cursor, err = s.sealCursor(ctx, c.cmd.User.ID, l.at); err != nil {
			return err
		}
	}
	var ids []string
	for i := range l.rooms {
		sum := &l.rooms[i]
		ids = append(ids, sum.Room.Peers...)
		if m := sum.LastMessage; m != nil {
			ids = append(ids, m.User)
		}
	}
	who := s.names.Many(ctx, ids)
	online, err := s.onlineIn(ctx, l.rooms)
	if err != nil {
		return err
	}
	left := s.opt.Limits.PageBytes
	for i := range l.rooms {
		sum := &l.rooms[i]
		w := s.wireRoom(&sum.Room, who)
		size := roomSize(&w)
		if m := sum.LastMessage; m != nil {
			last := wireMessage(m, who(m.User))
			last.Room = w.ID
			w.LastMessage = &last
			size += messageSize(m) + wire.UserSize(&last.User)
		}
		if left -= size; i > 0 && left < 0 { // names may be longer than most are
			page.More, page.Cursor = true, makeCursor(l.rooms[i-1].Room.ID)
			break
		}
		w.Online = online[i]
		page.Rooms = append(page.Rooms, w)
	}
	c.found = page
	return nil
}

// onlineIn returns how many users are in each of the rooms.
func (s *Server) onlineIn(ctx context.Context, rooms []RoomSummary) ([]int, error) {
	live := make([]*liveRoom, len(rooms))
	defer func() {
		for _, r := range live {
			if r != nil {
				r.release()
			}
		}
	}()
	var unread []*presence.Room
	for i := range rooms {
		if !s.presence.Shared() {
			live[i] = s.peek(rooms[i].Room.ID)
			continue
		}
		r := s.acquire(rooms[i].Room.ID)
		live[i] = r
		if !r.presence.Current() {
			unread = append(unread, &r.presence)
		}
	}
	if len(unread) > 0 {
		if err := s.presence.Load(ctx, unread); err != nil {
			return nil, err
		}
	}
	counts := make([]int, len(rooms))
	for i, r := range live {
		if r != nil {
			counts[i] = r.presence.Count()
		}
	}
	return counts, nil
}
