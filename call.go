package chat

import (
	"context"
	"net/http"
	"sync"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// call is what the server knows of a command beside what middleware may see:
// where it came from and what answers it.
type call struct {
	srv    *Server
	cmd    Command
	wire   wire.Command
	s      *session // nil over REST
	passed bool     // the session's turn has been given away

	checked    bool            // a permission was checked:
	everywhere bool            // for all rooms, not only the command's,
	as         *names.Identity // whose it is, over WebSocket,
	revoked    uint32          // and what had been revoked before; see current

	// What the command asks for beyond Command's fields.
	join    wire.Join
	query   Query
	limit   int
	cursor  string
	request *http.Request // for CmdAuth: what Authenticate is asked with,
	who     *User         // or what it has said
	message Message       // for CmdMessage: as it is to be stored
	info    RoomInfo      // for CmdCreateRoom
	update  RoomUpdate    // for CmdUpdateRoom
	before  *Message      // for CmdEdit, where middleware looks at it: the message as it was,
	gave    gave          // and what the edit is about

	// What answers it.
	page   Page
	spare  int // bytes that the messages of a joined frame have left to its users
	online wire.Online
	rooms  wire.Rooms
	tries  int // that it took to list them
	room   *RoomInfo
	ack    wire.Ack
}

var calls = sync.Pool{New: func() any { return new(call) }}

// newCall returns an empty call; free gives it back.
func newCall(srv *Server, s *session) *call {
	c := calls.Get().(*call)
	c.srv, c.s = srv, s
	c.cmd.call = c
	return c
}

func (c *call) free() {
	*c = call{wire: c.wire}
	calls.Put(c)
}

// dispatch takes a command through the middleware to the core.
func (s *Server) dispatch(ctx context.Context, c *call) error {
	s.count.commands.Add(1)
	if c.cmd.TraceID == "" {
		c.cmd.TraceID = s.name("", s.ids.Add(1))
	}
	var err error
	if k := s.kind(c.cmd.Type); k.foresee != nil && len(s.opt.Middleware) > 0 {
		err = k.foresee(c, ctx)
	}
	if err == nil {
		err = guard(func() error { return s.handle(ctx, &c.cmd) })
	}
	if err == errEntered || err == errPassed {
		return err // the call is not ours any more
	}
	if err != nil && s.firstAnswer(ctx, c, err) {
		err = nil
	}
	return s.verdict(c, err)
}

// verdict counts an error and makes it one of ours.
func (s *Server) verdict(c *call, err error) error {
	if err != nil {
		s.count.failed.Add(1)
		e := asError(err)
		if e.Code == CodeInternal {
			s.log.Error("chat: command failed", "type", c.cmd.Type, "trace", c.cmd.TraceID, "user", c.cmd.User.ID, "room", c.cmd.Room, "error", err)
		}
		return e
	}
	return nil
}
