package chat

import (
	"context"
	"net/http"
	"slices"

	"github.com/gabblehq/chat/internal/wire"
)

// Message returns the message with the id.
func (r *Room) Message(ctx context.Context, id string) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	m, err := live.find(ctx, id)
	if err != nil {
		return Message{}, err
	}
	m.Room = r.id
	return *m, nil
}

// History returns messages as q asks, sorted by Seq.
func (r *Room) History(ctx context.Context, q Query) (Page, error) {
	live, done, err := r.use()
	if err != nil {
		return Page{}, err
	}
	defer done()
	page, err := live.history(ctx, q)
	return live.own(page), err
}

// own returns the page with the room's id in it, to hand out.
func (r *liveRoom) own(p Page) Page {
	p.Past = slices.Clone(p.Past)
	if p.Room != nil {
		p.Room = cloneInfo(p.Room)
		p.Room.ID = r.id
	}
	p.Messages = slices.Clone(p.Messages)
	for i := range p.Messages {
		p.Messages[i] = cloneMessage(p.Messages[i])
		p.Messages[i].Room = r.id
	}
	return p
}

// historyCommand reads messages.
var historyCommand = command{
	typ: CmdHistory, class: ClassRead, action: ActionRead,
	take: (*call).takeHistory, run: (*call).readHistory, reply: (*call).historyPage, again: (*call).mayRead,
	routes: []route{
		{pattern: "GET /rooms/{room}/messages", status: http.StatusOK, read: (*call).readQuery},
		{
			pattern: "GET /rooms/{room}/messages/{id}", status: http.StatusOK,
			read: func(c *call, r *http.Request) error {
				c.query = Query{ID: r.PathValue("id"), Limit: 1}
				return nil
			},
			reply: (*call).oneMessage,
		},
	},
}

func (c *call) takeHistory() {
	w := &c.wire
	c.cmd.Thread = w.Thread
	c.query = Query{Limit: w.Limit, Before: max(w.Before, 0), Around: max(w.Around, 0), After: max(w.After, 0)}
	switch {
	case w.After == 0 || w.Around == 0:
		c.query.Around = 1 // from the start
	case w.Before == 0:
		c.query.Before = 1 // before everything: nothing
	}
}

// readQuery takes what a request says of the page that it wants.
func (c *call) readQuery(r *http.Request) (err error) {
	given := 0
	for _, p := range []string{"before", "after", "around"} {
		n, err := intParam(r, p)
		if err != nil {
			return err
		}
		if r.URL.Query().Get(p) == "" {
			continue
		}
		if given++; given > 1 {
			return (&Error{Code: CodeInvalid, Message: "only one of before, after and around"}).WithField(p)
		}
		switch {
		case p == "before":
			c.query.Before = max(int64(n), 1) // below the first there is nothing
		case p == "around" || n == 0:
			c.query.Around = max(int64(n), 1)
		default:
			c.query.After = int64(n)
		}
	}
	c.cmd.Thread = r.URL.Query().Get("thread")
	c.query.Limit, err = intParam(r, "limit")
	return err
}

func (c *call) readHistory(ctx context.Context, in visit) error {
	if c.cmd.Thread != "" {
		return (&Error{Code: CodeUnsupported, Message: "threads cannot be read by themselves yet"}).WithField("thread")
	}
	q := c.query
	if q.Limit == 0 {
		q.Limit = c.srv.opt.Limits.History
	}
	q.Limit = min(q.Limit, c.srv.opt.Limits.MaxHistory)
	page, err := in.room.messages(ctx, q)
	if err == nil {
		c.page = &page
	}
	return err
}

// historyPage is the answer to a history command.
func (c *call) historyPage(ctx context.Context) (wire.Reply, error) {
	if c.page == nil {
		return c.held()
	}
	r := c.srv.acquire(c.cmd.Room)
	defer r.release()
	// What does not fit gives way on the far side of what was asked for.
	keep := int64(toNewest)
	switch {
	case c.query.Around > 0:
		keep = c.query.Around
	case c.query.After > 0:
		keep = toOldest
	}
	msgs, cut, _ := r.wireMessages(ctx, c.page.Messages, keep, c.srv.opt.Limits.PageBytes)
	return &wire.History{
		Ref: c.wire.Ref, Room: c.cmd.Room, Messages: msgs, More: c.page.More || cut,
		Epoch: c.page.Head.Epoch, Head: c.page.Head.Rev,
	}, nil
}

// oneMessage is the answer to a request for one message.
func (c *call) oneMessage(ctx context.Context) (wire.Reply, error) {
	if c.page == nil {
		return c.held()
	}
	if len(c.page.Messages) == 0 {
		return nil, errNoMessage
	}
	return c.whole(ctx, &c.page.Messages[0]), nil
}

// find returns a message that is there.
func (r *liveRoom) find(ctx context.Context, id string) (*Message, error) {
	if !validMessageID(id) {
		return nil, errNoMessage
	}
	page, err := r.history(ctx, Query{ID: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page.Messages) == 0 {
		return nil, errNoMessage
	}
	m := cloneMessage(page.Messages[0])
	return &m, nil
}

var errNoMessage = &Error{Code: CodeNotFound, Message: "no such message", Field: "id"}

// Where a page of messages that is too large is kept.
const (
	toOldest = 0  // at its start: what is newer gives way
	toNewest = -1 // at its end
	// above 0: around the message of that seq
)

// wireMessages turns a page's messages into wire form, at most max bytes of
// them, kept as keep says. It returns whether newer ones gave way, or older
// ones where the newest were to be kept, and how many bytes it has taken.
func (r *liveRoom) wireMessages(ctx context.Context, list []Message, keep int64, max int) (out []wire.Message, cut bool, size int) {
	if len(list) == 0 {
		return []wire.Message{}, false, 0
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].User
	}
	who := r.srv.names.Many(ctx, ids)
	sizeOf := func(i int) int {
		author := who(list[i].User)
		return messageSize(&list[i]) + wire.UserSize(&author)
	}
	from := 0
	switch {
	case keep == toNewest:
		from = len(list) - 1
	case keep > 0:
		for from < len(list)-1 && list[from].Seq < keep {
			from++
		}
	}
	to := from + 1
	size = sizeOf(from)
	// The newer and the older in turn, for as long as one fits.
	fits := func(i int) bool {
		if i < 0 || i >= len(list) {
			return false
		}
		n := sizeOf(i)
		if size+n > max {
			return false
		}
		size += n
		return true
	}
	for newer, older := true, true; newer || older; {
		if newer = newer && fits(to); newer {
			to++
		}
		if older = older && fits(from-1); older {
			from--
		}
	}
	cut = to < len(list) || keep == toNewest && from > 0
	list = list[from:to]
	out = make([]wire.Message, len(list))
	for i := range list {
		out[i] = wireMessage(&list[i], who(list[i].User))
		out[i].Room = r.id
	}
	return out, cut, size
}
