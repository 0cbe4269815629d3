package chat

import (
	"context"

	"github.com/gabblehq/chat/internal/work"
)

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
