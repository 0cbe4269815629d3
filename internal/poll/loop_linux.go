package poll

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Events is a set of epoll events.
type Events uint32

// The events a loop reports. Failed and Hangup come whether asked for or not.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	Failed   Events = unix.EPOLLERR
	Hangup   Events = unix.EPOLLHUP
)

// Tokens of the loop's own descriptors; those of its user are not negative.
const (
	tokenWake = -1 - iota
	tokenTick
)

// batch bounds how many events are handled before the end-of-batch hook runs.
const batch = 256

// epollClosed is set in the event by which easygo tells its callbacks that it
// has been closed.
const epollClosed = 0x20

// Handler is told what happens on a loop. All its methods run on the loop's
// goroutine, except Failed when the loop was never able to wait again, and
// must not block.
type Handler interface {
	// Begin starts a batch.
	Begin()
	// Event reports that the descriptor added under token is ready.
	Event(token int32, ev Events)
	// Tick comes every period set with SetTick.
	Tick()
	// End ends a batch: descriptors may be closed and tokens reused now.
	End()
	// Failed is the last call: the kernel refuses to wait.
	Failed(err error)
}

// Loop is one event loop. Add, Mod, Del, SetTick and Wake may be called from any
// goroutine; Close from any but the loop's own.
type Loop struct {
	h      Handler
	outer  *netpoll.Epoll
	fd     int // our epoll instance, watched by outer
	wake   int // eventfd
	tick   int // timerfd
	locked bool
	woken  atomic.Bool
	events [batch]unix.EpollEvent
}

// Open starts a loop. It costs five descriptors and one goroutine.
func Open(h Handler) (*Loop, error) {
	l := &Loop{h: h, fd: -1, wake: -1, tick: -1}
	if err := l.open(); err != nil {
		l.closeOwn()
		return nil, fmt.Errorf("open event loop: %w", err)
	}
	return l, nil
}

func (l *Loop) open() (err error) {
	if l.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if l.tick, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	if err = l.Add(l.wake, tokenWake, Readable); err != nil {
		return err
	}
	if err = l.Add(l.tick, tokenTick, Readable); err != nil {
		return err
	}
	if l.outer, err = createEpoll(l.h.Failed); err != nil {
		return err
	}
	if err = l.outer.Add(l.fd, netpoll.EPOLLIN, l.ready); err != nil {
		return errors.Join(err, l.outer.Close())
	}
	return nil
}

// ready handles one batch. easygo calls again at once while our instance still
// has events, so a busy loop never starves its end-of-batch work.
func (l *Loop) ready(ev netpoll.EpollEvent) {
	if ev&epollClosed != 0 {
		return
	}
	if !l.locked {
		// With its own thread the loop is woken by the kernel, not by a scheduler
		// whose every P may be busy with fan-out: p99 falls to a third.
		runtime.LockOSThread()
		l.locked = true
	}
	n, err := unix.EpollWait(l.fd, l.events[:], 0)
	if err != nil {
		return // EINTR; anything else comes back from the outer wait
	}
	l.h.Begin()
	for i := range l.events[:n] {
		switch token := l.events[i].Fd; token {
		case tokenWake:
			drain(l.wake)
			// Whoever posts from here on writes again. What was posted before is
			// seen by End, which runs after this.
			l.woken.Store(false)
		case tokenTick:
			drain(l.tick)
			l.h.Tick()
		default:
			l.h.Event(token, Events(l.events[i].Events))
		}
	}
	l.h.End()
}

func drain(fd int) {
	var b [8]byte
	_, _ = unix.Read(fd, b[:])
}

// Add watches fd, level triggered. Its events carry token.
func (l *Loop) Add(fd int, token int32, ev Events) error {
	return l.ctl(unix.EPOLL_CTL_ADD, fd, token, ev)
}

// Mod changes what is watched for. Zero leaves only Failed and Hangup.
func (l *Loop) Mod(fd int, token int32, ev Events) error {
	return l.ctl(unix.EPOLL_CTL_MOD, fd, token, ev)
}

// Del ends the watch. Events of the running batch may still arrive under the
// token, so it must not be given away before End.
func (l *Loop) Del(fd int) error {
	return l.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0)
}

func (l *Loop) ctl(op, fd int, token int32, ev Events) error {
	e := unix.EpollEvent{Events: uint32(ev), Fd: token}
	return unix.EpollCtl(l.fd, op, fd, &e)
}

// Wake makes the loop run a batch soon, even an empty one. Calls coalesce.
func (l *Loop) Wake() {
	if l.woken.Swap(true) {
		return
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], 1)
	_, _ = unix.Write(l.wake, b[:])
}

// SetTick sets the period of Tick; zero stops it.
func (l *Loop) SetTick(d time.Duration) error {
	t := unix.NsecToTimespec(int64(d))
	return unix.TimerfdSettime(l.tick, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil)
}

// Close stops the loop after the batch that runs and releases its descriptors.
// It does not touch the descriptors that were added.
func (l *Loop) Close() error {
	err := l.outer.Close()
	l.closeOwn()
	return err
}

func (l *Loop) closeOwn() {
	for _, fd := range []int{l.fd, l.wake, l.tick} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
