package chat

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// controlRoom is the room in whose log servers tell each other what must not
// be lost: that a permission has ended, that a user has to go. It is a log like
// any other, so nothing in it can be missed for long.
const controlRoom = "~control"

// controlOrder is what the content of a message in the control log says.
type controlOrder struct {
	Node     string   `json:"node"` // who has done it already
	Type     string   `json:"type"`
	User     string   `json:"user"`
	Room     string   `json:"room,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Sessions []string `json:"sessions,omitempty"` // none: all of the user's
}

// The types of orders. Servers ignore those that they do not know.
const (
	orderRevoke     = "revoke"
	orderDisconnect = "disconnect"
	orderSignOut    = "sign_out"
)

// order tells the other servers.
func (c *cluster) order(ctx context.Context, o controlOrder) error {
	o.Node = c.node
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	r := c.srv.acquire(controlRoom)
	defer r.release()
	send := func() error {
		res, err := r.commit(ctx, &commit{change: Change{Kind: ChangeCreate, Message: Message{
			ID: newID(time.Now()), Kind: KindSystem, Content: string(content),
		}}})
		if err == nil && res.Position.Seq%trimOrders == 0 {
			c.srv.background(c.srv.workers.chores, c.trimOrders)
		}
		return err
	}
	if err = send(); !errors.Is(err, ErrNotFound) {
		return err
	}
	if err = c.makeControl(ctx); err != nil {
		return err
	}
	return send()
}

const (
	// keepOrders is how many orders the control log keeps. A server that has not
	// read for longer looks at everybody instead.
	keepOrders = 1024
	// trimOrders is how often the older ones are let go of.
	trimOrders = 128
)

// trimOrders keeps the control log short: orders that have been carried out are
// of no use to anybody.
func (c *cluster) trimOrders() {
	t, ok := capability[Trimmer](c.srv.opt.Store)
	if !ok {
		return
	}
	err := c.srv.callStore(c.srv.ctx, func(ctx context.Context) error {
		return t.Trim(ctx, c.srv.key(controlRoom), keepOrders)
	})
	if err != nil && !unanswered(err) {
		c.srv.log.Warn("chat: control log not trimmed", "error", err)
	}
}

// controlHead returns where the control log ends: the zero Position where it
// has not begun.
func (r *liveRoom) controlHead() (Position, error) {
	at, err := r.head()
	if errors.Is(err, ErrNotFound) {
		return Position{}, nil
	}
	return at, err
}

// controlLoop does what the control log says after a position; where that is
// not known, from the moment on in which it can be found out. It releases r.
func (c *cluster) controlLoop(r *liveRoom, at Position, known bool) {
	defer r.release()
	for {
		select {
		case <-c.control:
		case <-c.srv.ctx.Done():
			return
		}
		err := guard(func() (err error) {
			if known {
				at, err = c.readOrders(r, at)
			} else {
				at, err = r.controlHead()
			}
			return err
		})
		known = known || err == nil
		if err != nil && !c.srv.health.Down() && c.srv.ctx.Err() == nil {
			c.srv.log.Warn("chat: control log not read", "error", err)
			work.Sleep(c.srv.ctx, retryAfter)
			work.Notify(c.control)
		} // else it is notified when the store answers again
	}
}

// readOrders does what the log says after a position and returns how far it has come.
func (c *cluster) readOrders(r *liveRoom, at Position) (Position, error) {
	for {
		page, err := r.changes(c.srv.ctx, at.Rev)
		if errors.Is(err, ErrNotFound) {
			if at.Epoch != "" {
				c.srv.background(c.srv.workers.checks, c.srv.recheckAll)
			}
			return Position{}, nil
		}
		if err != nil {
			return at, err
		}
		if at.Epoch != "" && page.Head.Epoch != at.Epoch || at.Rev > page.Head.Rev || at.Rev < page.Floor {
			// Something may have been said that is gone: look at everybody.
			c.srv.background(c.srv.workers.checks, c.srv.recheckAll)
			trimmed := page.Good(at) && at.Rev < page.Floor
			if common := page.common(at.Epoch); common < at.Rev && common >= page.Floor {
				at = Position{Epoch: page.Head.Epoch, Rev: common}
				continue // what has been said since the log goes on under another epoch
			} else if trimmed {
				// Perhaps that somebody has to go: all show anew who they are. What
				// is left of the orders follows.
				c.wg.Add(1)
				go c.reconnectAll()
			} else if !page.Good(at) {
				return page.Head, nil
			}
		}
		for _, e := range page.Entries {
			var o controlOrder
			if e.Message == nil || json.Unmarshal([]byte(e.Message.Content), &o) != nil || o.Node == c.node {
				continue
			}
			c.execute(o)
		}
		at = Position{Epoch: page.Head.Epoch, Rev: page.Through}
		if page.Through >= page.Head.Rev {
			return at, nil
		}
	}
}

// reconnectAll has every session connect again, spread over time.
func (c *cluster) reconnectAll() {
	defer c.wg.Done()
	defer work.Recover(c.srv.log, "a loop of the cluster")
	for _, sess := range c.srv.sessions() {
		sess.conn.Close(wire.CloseRestart, "restart")
		work.Sleep(c.srv.ctx, time.Second/closesPerSecond)
	}
}

// execute does what an order says, beside what comes next: it asks the host,
// who may take its time.
func (c *cluster) execute(o controlOrder) {
	switch o.Type {
	case orderRevoke:
		c.srv.background(c.srv.workers.checks, func() { c.srv.revoke(c.srv.ctx, o.User, o.Room) })
	case orderDisconnect, orderSignOut:
		c.srv.background(c.srv.workers.chores, func() { c.srv.dismiss(o) })
	}
}
