package transport

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// Accounted is an optional interface of Handlers. Inflating is work that a client
// makes the server do for a few bytes, so what is more than a little is done beside
// the event loops and within a budget: 32 messages of Options.MaxMessage a second.
// The connections whose Handlers have the same account share one; without an account,
// or with "", each has its own. Who has used it up is read from no further until there
// is some again.
type Accounted interface {
	// Account is called on the connection's event loop or reader, so it must not block.
	Account() string
}

const (
	// hereIn is how long a compressed message may be, and hereOut how long what it
	// inflates to, to be inflated where it is read; hereCost bounds that work for each
	// connection and second, in units of bytes.
	hereIn   = 1 << 10
	hereOut  = 8 << 10
	hereCost = 256 << 10 / hereUnit
	hereUnit = 64
	// budgetMessages is how many messages of full size an account may have inflated in
	// a second, budgetBurst for how many seconds it may do so at once.
	budgetMessages = 32
	budgetBurst    = 2 * time.Second
	// payEvery is how often those are looked at who have used up their budget.
	payEvery = 20 * time.Millisecond
)

// job is a compressed message that is inflated beside its connection's loop or reader,
// which does not go on before it has been handed on: messages keep their order.
type job struct {
	c      *Conn
	op     ws.OpCode
	packed []byte
	out    []byte
	size   int64
	err    error
	held   int64 // what the account of partial bytes knows of it
}

// errPanicked says that inflating has panicked.
var errPanicked = errors.New("inflating panicked")

// run inflates the message and tells what that has cost, in bytes of output.
func (j *job) run() (cost int64) {
	if j.c.is(isClosing | isAborted | isClosed) {
		return 0
	}
	t := j.c.t
	defer func() {
		if v := recover(); v != nil {
			t.panicked("transport: panic while inflating", v)
			j.err = errPanicked
		}
	}()
	f := t.inflater()
	j.size, j.err = f.inflate(j.packed, t.opts.MaxMessage, max(t.opts.MaxMessage, t.opts.SkipMessage))
	cost = inflateCost(len(j.packed), j.size)
	if j.err == nil && j.size <= t.opts.MaxMessage {
		j.out, f.out = f.out, nil
	}
	f.letGo()
	t.inflaters.Put(f)
	return cost
}

// inflateCost is what inflating has cost, in bytes of output.
func inflateCost(packed int, size int64) int64 { return max(packedCost*int64(packed), size) }

// done has the connection go on, unless it has stopped waiting.
func (j *job) done() {
	c := j.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.is(isInflating) || c.is(isClosed) {
		return
	}
	j.held += int64(cap(j.out))
	c.t.counters[c.loop].partial.Add(int64(cap(j.out)))
	c.unpause(isInflating)
}

// inflateElsewhere hands a compressed message over, which from now on is the job's.
func (c *Conn) inflateElsewhere(op ws.OpCode, packed []byte) {
	c.mu.Lock()
	if c.is(isClosing | isAborted | isClosed) {
		c.mu.Unlock()
		return
	}
	c.set(isInflating)
	c.watch()
	c.mu.Unlock()
	j := &job{c: c, op: op, packed: packed}
	c.partial().job = j
	var account any = c
	if h, ok := c.h.(Accounted); ok {
		if name := h.Account(); name != "" {
			account = name
		}
	}
	c.t.inflation.add(account, j)
}

// hasJob tells that a message is inflated elsewhere, or has been.
func (c *Conn) hasJob() bool { return c.in != nil && c.in.job != nil }

// takeJob hands on the message that has been inflated elsewhere.
func (c *Conn) takeJob() {
	in := c.in
	if in == nil || in.job == nil || c.is(isPaused|isInflating) {
		return
	}
	j := in.job
	in.dropJob(c)
	if in.idle() {
		c.dropInput()
	}
	if c.is(isClosing | isAborted | isClosed) {
		return // it may be under way still
	}
	c.heard.Store(c.t.ticks()) // the silence was ours
	c.inflated(j.op, j.out, j.size, j.err)
}

// dropJob forgets what is inflated elsewhere.
func (in *input) dropJob(c *Conn) {
	if in.job != nil {
		c.t.counters[c.loop].partial.Add(-in.job.held)
		in.job = nil
	}
}

// inflation inflates what is more than a little, on half of the processors. The
// accounts take turns, each with one message.
type inflation struct {
	t       *Transport
	workers int // at most

	mu       sync.Mutex
	accounts map[any]*account
	ready    []*account // those whose turn it is, in order
	running  int
	timer    *time.Timer // while accounts have something to pay for
	stopped  bool
}

// account is what an owner of connections has had inflated. It exists while that is
// not paid for.
type account struct {
	jobs []*job
	busy bool          // one of them runs, or the account is ready
	paid time.Duration // when it will have paid for everything, since the Transport's start
}

func (n *inflation) init(t *Transport) {
	n.t, n.workers, n.accounts = t, max(1, runtime.GOMAXPROCS(0)/2), make(map[any]*account)
}

// add queues a job.
func (n *inflation) add(key any, j *job) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.accounts[key]
	if a == nil {
		a = &account{}
		n.accounts[key] = a
	}
	a.jobs = append(a.jobs, j)
	n.schedule(a)
}

// schedule has the next job of an account run, now or when there is budget for it. It
// needs mu.
func (n *inflation) schedule(a *account) {
	if a.busy {
		return
	}
	if len(a.jobs) == 0 || a.paid > n.now()+budgetBurst {
		n.payLater()
		return
	}
	a.busy = true
	n.ready = append(n.ready, a)
	if n.running < n.workers {
		n.running++
		n.t.wg.Add(1)
		go n.work()
	}
}

func (n *inflation) now() time.Duration { return time.Since(n.t.start) }

// work runs jobs while there are any.
func (n *inflation) work() {
	defer n.t.wg.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.ready) > 0 {
		a := n.ready[0]
		n.ready = slices.Delete(n.ready, 0, 1)
		j := a.jobs[0]
		a.jobs = slices.Delete(a.jobs, 0, 1)
		n.mu.Unlock()
		cost := j.run()
		j.done()
		n.mu.Lock()
		a.busy = false
		a.paid = max(a.paid, n.now()) + time.Duration(cost*int64(time.Second)/(budgetMessages*n.t.opts.MaxMessage))
		n.schedule(a)
	}
	n.running--
}

// payLater looks at the accounts again. It needs mu.
func (n *inflation) payLater() {
	if n.timer == nil && !n.stopped {
		n.t.wg.Add(1)
		n.timer = time.AfterFunc(payEvery, n.pay)
	}
}

// pay forgets the accounts that have paid, and schedules those that have budget again.
func (n *inflation) pay() {
	defer n.t.wg.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timer = nil
	now := n.now()
	for key, a := range n.accounts {
		switch {
		case a.busy:
		case len(a.jobs) == 0 && a.paid <= now:
			delete(n.accounts, key)
		default:
			n.schedule(a)
		}
	}
}

// stop is called when no connection is left.
func (n *inflation) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	if n.timer != nil && n.timer.Stop() {
		n.timer = nil
		n.t.wg.Done()
	}
}
