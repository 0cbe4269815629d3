package chat

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

// call is what the server knows of a command beside what middleware may see:
// where it came from and what answers it.
type call struct {
	cmd    Command
	wire   wire.Command
	s      *session // nil over REST
	passed bool     // the session's turn has been given away

	as      *names.Identity // whose permission was checked, over WebSocket
	revoked uint32          // and what had been revoked before: see current

	// What the command asks for beyond Command's fields.
	join    wire.Join
	query   Query
	limit   int
	cursor  string
	request *http.Request // for CmdAuth: what Authenticate is asked with,
	who     *User         // or what it has said
	info    RoomInfo      // for CmdCreateRoom
	update  RoomUpdate    // for CmdUpdateRoom
	before  *Message      // for CmdEdit, where middleware looks at it: the message as it was,
	gave    gave          // and what the edit is about

	overtaken bool // what it was is no more: middleware has to look at the edit anew

	// What answers it.
	page   Page
	spare  int // bytes that the messages of a joined frame have left to its users
	online wire.Online
	rooms  wire.Rooms
	room   *RoomInfo
}

var calls = sync.Pool{New: func() any { return new(call) }}

// newCall returns an empty call; free gives it back.
func newCall(s *session) *call {
	c := calls.Get().(*call)
	c.s = s
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
	err := s.attempt(ctx, c)
	for n := 1; errors.Is(err, ErrConflict) && c.overtaken && n < editAttempts; n++ {
		c.overtaken, c.before, c.gave = false, nil, gave{}
		c.take()
		err = s.attempt(ctx, c)
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

// editAttempts bounds how often an edit is looked at that others overtake.
const editAttempts = 3

// attempt takes a command through the middleware once.
func (s *Server) attempt(ctx context.Context, c *call) error {
	if err := s.prepare(ctx, c); err != nil {
		return err
	}
	return guard(func() error { return s.handle(ctx, &c.cmd) })
}

// prepare finds out what middleware has to know.
func (s *Server) prepare(ctx context.Context, c *call) error {
	if c.cmd.Type != CmdEdit || len(s.opt.Middleware) == 0 {
		return nil
	}
	return s.foresee(ctx, c)
}

// looksPerUser bounds how often firstAnswer asks the store.
var looksPerUser = Rate{PerSecond: 5, Burst: 100}

// firstAnswer reports whether a message that was turned away has been stored
// before, under the same nonce: then the answer is the first one, whatever
// limits and permissions say now. It is asked only when they say no, so that a
// new message costs no further read.
func (s *Server) firstAnswer(ctx context.Context, c *call, err error) bool {
	if !c.mayBeAnswered(err) {
		return false
	}
	// Each look is a read of the store: a flood of refused messages must not
	// become a flood of reads.
	if wait, err := s.looks.Allow(ctx, c.cmd.User.ID, looksPerUser); wait > 0 || err != nil {
		return false
	}
	r := s.acquire(c.cmd.Room)
	defer r.release()
	page, err := r.history(ctx, Query{User: c.cmd.User.ID, Nonce: c.cmd.Nonce, Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return false
	}
	m := page.Messages[0]
	m.Room = c.cmd.Room
	c.cmd.Result, c.cmd.Duplicate = &m, true
	return true
}

// mayBeAnswered reports whether a message that was turned away may have been
// stored before.
func (c *call) mayBeAnswered(err error) bool {
	if c.cmd.Type != CmdMessage || c.cmd.Nonce == "" {
		return false
	}
	switch asError(err).Code {
	case CodeRateLimited, CodeForbidden, CodeNotFound, CodeTooLarge, CodeInvalid:
		return true
	}
	return false
}
