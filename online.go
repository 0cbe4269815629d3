package chat

import (
	"context"
	"net/http"

	"github.com/gabblehq/chat/internal/wire"
)

// Online returns the ids of the users who are in the room, on whichever server
// that shares the store, sorted.
func (r *Room) Online(ctx context.Context) ([]string, error) {
	live, done, err := r.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := live.presence.Load(ctx); err != nil {
		return nil, err
	}
	return live.presence.IDs(), nil
}

// Typing shows the user as typing in the room, or not any more. It ends by
// itself after Limits.TypingExpiry, and with the user's next message.
func (r *Room) Typing(user User, active bool) {
	if !wire.ValidUserID(user.ID) {
		return
	}
	if live := r.srv.peek(r.id); live != nil {
		live.presence.SetTyping(public(&user), active)
		live.release()
	} else if ValidRoomID(r.id) {
		r.srv.presence.RelayTyping(r.id, public(&user), active)
	}
}

// membersCommand lists who is in a room.
var membersCommand = command{
	typ: CmdMembers, class: ClassRead, action: ActionRead,
	take: (*call).takePage, run: (*call).listOnline, reply: (*call).shown, again: (*call).mayRead,
	routes: []route{{pattern: "GET /rooms/{room}/online", status: http.StatusOK, read: (*call).readPage}},
}

// presenceCommand shows how many are in a room, and a
// sample of them.
var presenceCommand = command{
	typ: CmdPresence, class: ClassRead, action: ActionRead,
	take: (*call).takePage, run: (*call).listOnline, reply: (*call).shown, again: (*call).mayRead,
	routes: []route{{pattern: "GET /rooms/{room}", status: http.StatusOK, reply: (*call).showRoom}},
}

// typingCommand tells others that its user is typing.
var typingCommand = command{
	typ: CmdTyping, class: ClassSignal, action: ActionWrite,
	take: func(c *call) { c.cmd.Active = c.wire.Active },
	run: func(c *call, _ context.Context, in visit) error {
		if in.room.Topic.Len() > 0 {
			in.room.presence.SetTyping(public(&c.cmd.User), c.cmd.Active)
		}
		return nil
	},
}

// takePage takes which page of a list is wanted.
func (c *call) takePage() { c.limit, c.cursor = c.wire.Limit, c.wire.Cursor }

func (c *call) readPage(r *http.Request) (err error) {
	c.cursor = r.URL.Query().Get("cursor")
	c.limit, err = intParam(r, "limit")
	return err
}

func (c *call) listOnline(ctx context.Context, in visit) error {
	l, r := &c.srv.opt.Limits, in.room
	limit := c.limit
	if limit == 0 {
		limit = l.Presence
	}
	if err := r.presence.Load(ctx); err != nil {
		return err
	}
	after, ok := readCursor(c.cursor)
	if !ok {
		return errCursor
	}
	o := &wire.Online{Type: string(c.cmd.Type), Ref: c.wire.Ref, Room: r.id}
	o.Online, o.Users, o.More = r.presence.List(nil, after, min(limit, l.Presence), l.PageBytes)
	if n := len(o.Users); o.More && n > 0 {
		o.Cursor = makeCursor(o.Users[n-1].ID)
	}
	c.found = o
	return nil
}

// showRoom answers with the room that the user may read, by what a presence
// command has found out.
func (c *call) showRoom(ctx context.Context) (wire.Reply, error) {
	if c.found == nil {
		return c.held() // nobody has asked whether the user may read it
	}
	r := c.srv.acquire(c.cmd.Room)
	defer r.release()
	info, err := r.infoCopy(ctx)
	if err != nil {
		return nil, err
	}
	return c.srv.roomNow(ctx, &info), nil
}
