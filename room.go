package chat

import (
	"context"
	"net/http"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
)

// Room is a handle of one room of a Server, for host code. It does what
// clients can do, without middleware and without asking Authorize. All methods
// are safe for concurrent use; their errors are *Error, or ErrServerClosed.
type Room struct {
	srv   *Server
	id    string
	peers []string // of a direct room
}

// Room returns a handle of the room, whether it exists or not. It is cheap and
// need not be kept.
func (s *Server) Room(id string) *Room { return &Room{srv: s, id: id} }

// ID returns the room's id.
func (r *Room) ID() string { return r.id }

// use acquires the live room for one operation.
func (r *Room) use() (*liveRoom, func(), error) {
	if !ValidRoomID(r.id) {
		return nil, nil, (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("room")
	}
	if !r.srv.inUse.Enter() {
		return nil, nil, ErrServerClosed
	}
	live := r.srv.acquire(r.id)
	return live, func() {
		live.release()
		r.srv.inUse.Leave()
	}, nil
}

// deleteRoomCommand removes a room with everything in it.
var deleteRoomCommand = command{
	typ: CmdDeleteRoom, class: ClassWrite, action: ActionModerate,
	run:    func(_ *call, ctx context.Context, in visit) error { return in.room.remove(ctx) },
	routes: []route{{pattern: "DELETE /rooms/{room}", status: http.StatusNoContent}},
}

// Remove deletes the room with everything in it. Whoever is in it is told, and
// is out of it. It needs a Store that is a [RoomRemover], else it is
// ErrUnsupported.
func (r *Room) Remove(ctx context.Context) error {
	live, done, err := r.use()
	if err != nil {
		return err
	}
	defer done()
	return live.remove(ctx)
}

func (r *liveRoom) remove(ctx context.Context) error {
	store, ok := capability[RoomRemover](r.srv.opt.Store)
	if !ok {
		return &Error{Code: CodeUnsupported, Message: "the store cannot remove rooms"}
	}
	err := r.srv.callStore(ctx, func(ctx context.Context) error { return store.RemoveRoom(ctx, r.key()) })
	if err != nil {
		return err
	}
	r.gone()
	return nil
}

// gone ends everything that is about a room that does not exist any more.
func (r *liveRoom) gone() {
	r.forget()
	r.srv.revoked.count(r.id).Add(1) // joins under way look again
	for _, sink := range r.Topic.Sinks() {
		if s, ok := sink.(*session); ok {
			r.expel(s, CodeNotFound)
		}
	}
	epoch, _ := r.Topic.Head()
	r.Topic.Turn(hub.Turn{From: epoch, Good: -1}) // loops of Changes look again
}

// expel ends a session's subscription because the user may not have it any
// more, and says so.
func (r *liveRoom) expel(s *session, code Code) {
	if sub := s.unlink(r.id); sub != nil {
		sub.end(s.user(), true)
		s.send(func(b []byte) []byte { return wire.AppendLeft(b, r.id, string(code)) })
	}
}
