package chat

import (
	"context"
	"net/http"

	"github.com/gabblehq/chat/internal/wire"
)

// readingHistory is the command that reads messages.
var readingHistory = command{
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

func (c *call) readHistory(ctx context.Context, in visit) (err error) {
	if c.cmd.Thread != "" {
		return (&Error{Code: CodeUnsupported, Message: "threads cannot be read by themselves yet"}).WithField("thread")
	}
	q := c.query
	if q.Limit == 0 {
		q.Limit = c.srv.opt.Limits.History
	}
	q.Limit = min(q.Limit, c.srv.opt.Limits.MaxHistory)
	c.page, err = in.room.messages(ctx, q)
	return err
}

// historyPage is the answer to a history command.
func (c *call) historyPage(ctx context.Context) (wire.Reply, error) {
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
	if len(c.page.Messages) == 0 {
		return nil, errNoMessage
	}
	return c.whole(ctx, &c.page.Messages[0]), nil
}
