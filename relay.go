package chat

import (
	"context"
	"encoding/json"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
)

// clusterSignal is what servers signal to each other about a room.
type clusterSignal struct {
	Node   string    `json:"node"`
	Type   string    `json:"type"` // "typing"
	User   wire.User `json:"user"`
	Active bool      `json:"active,omitempty"`
}

// Signal implements [Listener].
func (c *cluster) Signal(room string, data []byte) {
	defer work.Recover(c.srv.log, "a signal")
	id, ok := c.srv.roomOf(room)
	if !ok {
		return
	}
	r := c.srv.peek(id)
	if r == nil {
		return
	}
	defer r.release()
	var sig clusterSignal
	if err := json.Unmarshal(data, &sig); err != nil || sig.Node == c.node || !wire.ValidUserID(sig.User.ID) {
		return // our own, or of a server that knows more than we do
	}
	if sig.Type == string(CmdTyping) {
		r.typed(shown(sig.User), sig.Active)
	}
}

// relay tells the other servers that a user is typing. Under pressure it does
// not.
func (c *cluster) relay(room string, who wire.User, active bool) {
	data, err := json.Marshal(clusterSignal{Node: c.node, Type: string(CmdTyping), User: who, Active: active})
	if err != nil {
		return
	}
	select {
	case c.signals <- outSignal{c.srv.key(room), data}:
	default:
	}
}

func (c *cluster) signalLoop() {
	for {
		select {
		case sig := <-c.signals:
			// Not told: it would have been of use for a few seconds.
			_ = c.srv.callStore(c.srv.ctx, func(ctx context.Context) error {
				return c.watcher.Signal(ctx, sig.room, sig.data)
			})
		case <-c.srv.ctx.Done():
			return
		}
	}
}
