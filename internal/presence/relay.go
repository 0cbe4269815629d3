package presence

import (
	"context"
	"encoding/json"

	"github.com/gabblehq/chat/internal/wire"
)

// signal is what servers signal to each other about a room.
type signal struct {
	Node   string    `json:"node"`
	Type   string    `json:"type"` // "typing"
	User   wire.User `json:"user"`
	Active bool      `json:"active,omitempty"`
}

const typeTyping = "typing"

// outgoing is a signal on its way to the peers.
type outgoing struct {
	room string
	data []byte
}

// TakeSignal does what a peer has signalled about the room.
func (r *Room) TakeSignal(data []byte) {
	b := r.board()
	var s signal
	if err := json.Unmarshal(data, &s); err != nil || s.Node == b.peers.Node || !wire.ValidUserID(s.User.ID) {
		return // our own, or of a server that knows more than we do
	}
	if s.Type == typeTyping {
		r.setTyping(b.opt.Clean(s.User), s.Active)
	}
}

// RelayTyping tells the peers, where there are any, that a user is typing in a
// room, or no longer is. Under pressure it does not.
func (b *Board) RelayTyping(room string, who wire.User, active bool) {
	if b.opt.Peers == nil {
		return
	}
	data, err := json.Marshal(signal{Node: b.peers.Node, Type: typeTyping, User: who, Active: active})
	if err != nil {
		return
	}
	select {
	case b.signals <- outgoing{room, data}:
	default:
	}
}

func (b *Board) sendSignals(ctx context.Context) {
	for {
		select {
		case s := <-b.signals:
			// Not told: it would have been of use for a few seconds.
			_ = b.peers.Signal(ctx, s.room, s.data)
		case <-ctx.Done():
			return
		}
	}
}
