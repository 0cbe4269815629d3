package chat

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/internal/work"
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
	args    any           // what only its kind of command has
	before  *Message      // for CmdEdit, where middleware looks at it: the message as it was,
	gave    gave          // and what the edit is about

	overtaken bool // what it was is no more: middleware has to look at the edit anew

	// What answers it.
	page  *Page
	spare int        // bytes that the messages of a joined frame have left to its users
	found wire.Reply // what else is to be shown
	tries int        // that it took to find it
	ack   wire.Ack
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

// attempt takes a command through the middleware once.
func (s *Server) attempt(ctx context.Context, c *call) error {
	if k := s.kind(c.cmd.Type); k.foresee != nil && len(s.opt.Middleware) > 0 {
		if err := k.foresee(c, ctx); err != nil {
			return err
		}
	}
	return guard(func() error { return s.handle(ctx, &c.cmd) })
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

// commit has a change of the command's committed in its room. Where there is no
// middleware, whose code goes on when the handler has returned, it does not
// wait: it returns errEntered or errPassed, and who commits the change answers
// the call and releases the command's reference to the room.
func (c *call) commit(ctx context.Context, r *liveRoom, m *commit) error {
	if c.s == nil || len(c.s.srv.opt.Middleware) > 0 {
		if err := c.await(ctx, r, m); err != nil {
			return err
		}
		c.took(r.srv, &m.result)
		return nil
	}
	s, turns := c.s, r.srv.workers.turns
	m.call = c
	if !r.enter(m) { // from here on c may be gone
		return errEntered
	}
	if !s.yield() {
		// There is more in this turn; it may well become part of the same group.
		r.handOn()
		return errEntered
	}
	r.hold() // the command's reference goes with its answer
	defer r.release()
	turns.Detach()
	defer turns.Attach()
	r.commitGroup()
	return errPassed
}

// await is commit for a command whose handler goes on with the answer. What
// waits here is no longer counted as a worker that takes up commands.
func (c *call) await(ctx context.Context, r *liveRoom, m *commit) error {
	if c.s == nil {
		_, err := r.commit(ctx, m)
		return err
	}
	turns := r.srv.workers.turns
	m.done = make(chan struct{})
	lead := r.enter(m)
	c.s.pass(c)
	if lead {
		func() {
			turns.Detach()
			defer turns.Attach()
			r.commitGroup()
		}()
	}
	select {
	case <-m.done:
		return m.result.Err
	default:
	}
	if turns.Park() {
		defer turns.Unpark()
	}
	_, err := m.wait(ctx)
	return err
}

// took notes what the command has led to.
func (c *call) took(s *Server, res *Result) {
	c.cmd.Result, c.cmd.Duplicate = s.outcome(res), res.Duplicate
}

// settle answers a command that had entered its room's queue, and releases the
// room.
func (c *call) settle(r *liveRoom, m *commit) {
	err := m.result.Err
	if err == nil {
		c.took(r.srv, &m.result)
	} else if c.mayBeAnswered(err) {
		r.srv.workers.chores.Run(lateAnswer{c, r, err}) // which asks the store
		return
	}
	c.reply(r, err)
}

// lateAnswer answers a message that was turned away when it was to be committed.
type lateAnswer struct {
	c   *call
	r   *liveRoom
	err error
}

func (a lateAnswer) Work() {
	err := a.err
	defer func() { a.c.reply(a.r, err) }()
	if a.r.srv.firstAnswer(a.r.srv.ctx, a.c, err) {
		err = nil
	}
}

// reply is the end of a command that had entered its room's queue.
func (c *call) reply(r *liveRoom, err error) {
	s := c.s
	defer r.release()
	defer s.done(c)
	defer work.Recover(s.srv.log, "the answer to a command")
	s.answer(c, s.srv.verdict(c, err))
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
	if !c.srv.kind(c.cmd.Type).once || c.cmd.Nonce == "" {
		return false
	}
	switch asError(err).Code {
	case CodeRateLimited, CodeForbidden, CodeNotFound, CodeTooLarge, CodeInvalid:
		return true
	}
	return false
}
