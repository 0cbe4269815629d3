package transport

import (
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabblehq/chat/internal/poll"
)

// haveLoops tells that this system has event loops.
const haveLoops = true

// sweeps is in how many parts the table of a loop is walked: one part per sweep.
const sweeps = 2

// source is what a loop watches: a connection, a handshake, a listener.
type source interface {
	// ready is called with the events of its descriptor.
	ready(ev poll.Events)
	// sweep is called now and then, more often while it is urgent. It tells whether
	// its deadline is short and still ahead.
	sweep(now uint32) (urgent bool)
	// cut ends it at once.
	cut()
	// panicked is called when one of these has panicked.
	panicked(v any)
}

// loop is one event loop with its connections. Everything but mu's fields belongs
// to the loop's goroutine, and only that closes descriptors, at the end of a batch:
// no event of a batch and no writer can meet a number that is someone else's by then.
type loop struct {
	t    *Transport
	id   uint8
	poll *poll.Loop
	now  uint32 // tick at the start of the batch
	buf  []byte // what was read last; Handlers see slices of it

	slots  []source // by token
	free   []int32  // unused tokens
	freed  []int32  // free after this batch
	shut   []int    // descriptors to close after this batch
	urgent []source
	used   int
	cursor int // where the next sweep starts
	swept  time.Time
	period time.Duration

	mu      sync.Mutex
	tasks   []task
	spare   []task
	running bool // a batch is running: whoever posts need not wake it
}

// op is what a loop is asked to do with a connection.
type op uint8

const (
	opAdd    op = iota // watch it; p came with the handshake
	opResume           // reading may go on
	opEnding           // it has a deadline now
	opAbort            // cut it
	opCall             // call f
)

type task struct {
	op op
	c  *Conn
	p  []byte
	f  func()
}

// loopAt returns the loop, which starts with its first use. Only who has entered may
// ask: Shutdown stops the loops when nobody is left.
func (t *Transport) loopAt(id uint8) (*loop, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.loops[id]; l != nil {
		return l, nil
	}
	l := &loop{t: t, id: id, buf: make([]byte, joinBytes)}
	p, err := poll.Open(l)
	if err != nil {
		return nil, err
	}
	l.poll = p
	t.loops[id] = l
	return l, nil
}

func (l *loop) close() {
	if err := l.poll.Close(); err != nil {
		l.t.report(slog.LevelError, "transport: close event loop", "error", err)
	}
}

// post asks the loop to do something at the end of a batch.
func (l *loop) post(k task) {
	l.mu.Lock()
	l.tasks = append(l.tasks, k)
	wake := !l.running
	l.mu.Unlock()
	if wake {
		l.poll.Wake()
	}
}

// call is post for what is not about one connection.
func (l *loop) call(f func()) { l.post(task{op: opCall, f: f}) }

// cutAll cuts everything there is.
func (l *loop) cutAll() {
	l.call(func() {
		for _, s := range l.slots {
			if s != nil {
				cut(s)
			}
		}
	})
}

// Begin implements poll.Handler.
func (l *loop) Begin() {
	l.now = l.t.ticks()
	l.mu.Lock()
	l.running = true
	l.mu.Unlock()
}

// Event implements poll.Handler.
func (l *loop) Event(token int32, ev poll.Events) {
	// A slot emptied earlier in the batch stays so until its end.
	if s := l.slots[token]; s != nil {
		defer rescueSource(s)
		s.ready(ev)
	}
}

// rescueSource is deferred around every call of a source: whatever panics below, the
// loop goes on.
func rescueSource(s source) {
	if v := recover(); v != nil {
		s.panicked(v)
	}
}

func (l *loop) sweep(s source) (urgent bool) {
	defer rescueSource(s)
	return s.sweep(l.now)
}

func cut(s source) {
	defer rescueSource(s)
	s.cut()
}

// Tick implements poll.Handler.
func (l *loop) Tick() {
	l.urgent = slices.DeleteFunc(l.urgent, func(s source) bool { return !l.sweep(s) })
	if now := time.Now(); now.Sub(l.swept) >= l.t.slowSweep() {
		l.swept = now
		l.walk()
	}
}

// walk sweeps the next part of the table.
func (l *loop) walk() {
	n := (len(l.slots) + sweeps - 1) / sweeps
	for range n {
		if l.cursor >= len(l.slots) {
			l.cursor = 0
		}
		if s := l.slots[l.cursor]; s != nil {
			l.sweep(s)
		}
		l.cursor++
	}
}

// End implements poll.Handler.
func (l *loop) End() {
	for l.runTasks() {
	}
	for _, fd := range l.shut {
		_ = unix.Close(fd)
	}
	l.shut = l.shut[:0]
	l.free = append(l.free, l.freed...)
	l.freed = l.freed[:0]
	l.setPeriod()
}

// runTasks runs what was posted. When there is nothing, the batch is over.
func (l *loop) runTasks() bool {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = l.spare
	if len(tasks) == 0 {
		l.running = false
		l.tasks = tasks
		l.mu.Unlock()
		return false
	}
	l.spare = nil
	l.mu.Unlock()
	for i := range tasks {
		l.do(&tasks[i])
		tasks[i] = task{}
	}
	l.mu.Lock()
	if cap(tasks) <= 1<<10 {
		l.spare = tasks[:0]
	}
	l.mu.Unlock()
	return true
}

func (l *loop) do(k *task) {
	if k.c != nil {
		defer k.c.rescue()
	} else {
		defer l.t.rescue("an event loop's task")
	}
	switch k.op {
	case opAdd:
		l.addConn(k.c, k.p)
	case opResume:
		k.c.resumed(l)
	case opEnding:
		l.hurry(k.c)
	case opAbort:
		l.finish(k.c, nil)
	case opCall:
		k.f()
	}
}

// hurry has a source swept more often.
func (l *loop) hurry(s source) { l.urgent = append(l.urgent, s) }

// setPeriod ticks as often as there is reason to.
func (l *loop) setPeriod() {
	var want time.Duration
	switch {
	case len(l.urgent) > 0:
		want = min(l.t.fastSweep(), l.t.slowSweep())
	case l.used > 0:
		want = l.t.slowSweep()
	}
	if want != l.period {
		l.period = want
		if err := l.poll.SetTick(want); err != nil {
			l.t.report(slog.LevelError, "transport: set event loop's tick", "error", err)
		}
	}
}

// Failed implements poll.Handler. It has never been seen to happen.
func (l *loop) Failed(err error) {
	l.t.report(slog.LevelError, "transport: event loop failed, its connections are cut", "error", err)
	l.cutAll()
	l.Begin()
	l.End()
}

// take gives a source a token.
func (l *loop) take(s source) int32 {
	l.used++
	if n := len(l.free); n > 0 {
		token := l.free[n-1]
		l.free = l.free[:n-1]
		l.slots[token] = s
		return token
	}
	l.slots = append(l.slots, s)
	return int32(len(l.slots) - 1)
}

// release empties a slot and stops watching fd, which the caller goes on to own.
func (l *loop) release(token int32, fd int, watched bool) {
	if watched {
		_ = l.poll.Del(fd)
	}
	l.slots[token] = nil
	l.freed = append(l.freed, token)
	l.used--
}

// addConn starts to watch a connection whose Handler exists.
func (l *loop) addConn(c *Conn, pre []byte) {
	l.t.counters[l.id].conns.Add(1)
	c.slot = l.take(c)
	c.mu.Lock()
	c.set(isAdded)
	c.clear(isResuming) // a Resume from before now has nothing to add
	want := c.wants()
	err := l.poll.Add(int(c.fd), c.slot, eventsOf(want))
	if err == nil {
		c.set(want)
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		l.finish(c, err)
	case c.is(isAborted) || l.t.isCutting():
		l.finish(c, ErrAborted)
	default:
		if c.is(isClosing | isBroken) {
			l.hurry(c)
		}
		if len(pre) > 0 {
			c.receive(l, pre, nil)
		}
	}
}

// finish takes a connection off the loop and makes the last call. err is the cause
// if none is known yet.
func (l *loop) finish(c *Conn, err error) {
	c.mu.Lock()
	if c.is(isClosed) || !c.is(isAdded) {
		c.mu.Unlock()
		return // not added: addConn will come to see it
	}
	c.set(isClosed)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	e := ending{code: codeAbnormal, err: err}
	if c.end != nil {
		e = *c.end
	}
	fd := int(c.fd)
	c.fd = -1
	c.out = nil
	watched := !c.is(isParked)
	c.mu.Unlock()
	c.dropInput()
	l.release(c.slot, fd, watched)
	l.shut = append(l.shut, fd)
	l.t.counters[l.id].conns.Add(-1)
	c.tellClosed(e)
	l.t.leave()
}
