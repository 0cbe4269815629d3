// Package outage tells whether a store answers, and keeps calls from waiting
// for one that does not.
package outage

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat/internal/work"
)

// Detector knows whether a store answers. While it does not, nobody waits for
// it: calls under way are given up, new ones fail at once, and probes, and one
// real call at a time, ask until there is an answer. All methods are safe for
// concurrent use.
//
// A slow store is not one that is down. What counts is silence: calls under
// way, and not one answer for several times as long as the slowest has taken
// lately. It is counted in ticks of this process, so that a machine that is
// held up does not take its own standstill for the store's.
type Detector struct {
	opt Options
	ctx context.Context // ends with everything

	calls    atomic.Int64 // under way
	answered atomic.Int64 // how many the store has had an answer to
	slowest  slowest
	watching atomic.Bool // there are ticks
	fallen   atomic.Bool // what up says
	trying   atomic.Bool // a real call asks a store that has fallen
	news     chan struct{}

	mu      sync.Mutex
	up      context.Context // ends when the store is found not to answer
	fall    context.CancelFunc
	fellAt  int64 // answered, then
	probing bool
	stopped bool
	checked time.Time // when a probe has last found out
	tried   time.Time // when a real call was let through
	wg      sync.WaitGroup
}

// Options are all required.
type Options struct {
	// Probe asks for something that every store can answer quickly.
	Probe func(context.Context) error
	// Outage reports whether an error says that the store does not answer,
	// rather than something about what was asked.
	Outage func(error) bool
	// Timeout bounds a call.
	Timeout time.Duration
	// Fell is called when the store is found not to answer, and Healed when it
	// answers again.
	Fell   func(error)
	Healed func()
	// Log is told of panics in a probe.
	Log *slog.Logger
}

const (
	// watchEvery is how often it is looked whether calls return, checkAfter
	// how much silence has a probe sent, and leastPatience how much means that
	// the store is down, if its answers are quick as a rule. Clients of a store
	// that hangs wait for that long.
	watchEvery    = 50 * time.Millisecond
	checkAfter    = 250 * time.Millisecond
	leastPatience = 650 * time.Millisecond
	// slowTimes is how many times as long as the slowest answer of late the
	// silence of a slow store must last.
	slowTimes = 4
	// ProbeEvery is how often a store that refuses is asked again, and
	// probeAgain one that hangs: what is asked later may get through where what
	// was asked before is stuck. maxProbes is how many may be stuck.
	ProbeEvery = 250 * time.Millisecond
	probeAgain = time.Second
	maxProbes  = 5
	// tryEvery is how often a real call is let through to a store that is down.
	tryEvery = time.Second
)

var (
	// ErrDown is what Call returns where the store is not asked.
	ErrDown   = errors.New("the store does not answer")
	errSilent = errors.New("no call has returned")
)

// New returns a Detector of a store that is taken to answer. Nothing goes on
// before the first Call. It ends with ctx and Wait.
func New(ctx context.Context, o Options) *Detector {
	d := &Detector{opt: o, ctx: ctx, news: make(chan struct{}, 1)}
	d.up, d.fall = context.WithCancel(ctx)
	d.slowest.start = time.Now()
	return d
}

// Down reports whether the store does not answer.
func (d *Detector) Down() bool { return d.fallen.Load() && d.ctx.Err() == nil }

// Call calls f, which asks the store, with a context that also ends when the
// store is found not to answer, or has not for as long as Timeout. A panic is a
// *work.Panic. Where the store is down, f is the one call that is tried
// nevertheless, as trial says, or it is not called, and the error is ErrDown.
func (d *Detector) Call(ctx context.Context, f func(context.Context) error) (trial bool, err error) {
	up, limit := d.whileUp(), d.opt.Timeout
	if up.Err() != nil && d.ctx.Err() == nil {
		if !d.try() {
			return false, ErrDown
		}
		defer d.trying.Store(false)
		up, limit, trial = d.ctx, d.Patience(), true
	}
	var cancel context.CancelFunc
	if ctx == d.ctx {
		ctx, cancel = context.WithTimeout(up, limit)
	} else {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer context.AfterFunc(up, cancel)()
	}
	defer cancel()
	err = d.ask(ctx, f)
	if err != nil && d.opt.Outage(err) {
		d.check()
	}
	return trial, err
}

// whileUp returns a context that lasts for as long as the store answers.
func (d *Detector) whileUp() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.up
}

// try reports whether a real call may ask a store that is down. Whoever may
// resets trying.
func (d *Detector) try() bool {
	if !d.trying.CompareAndSwap(false, true) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.tried) < tryEvery {
		d.trying.Store(false)
		return false
	}
	d.tried = time.Now()
	return true
}

// ask calls f, which asks the store, and notes whether there was an answer. However
// f ends, the call is under way no more.
func (d *Detector) ask(ctx context.Context, f func(context.Context) error) error {
	d.calls.Add(1)
	defer d.calls.Add(-1)
	d.watch()
	began := time.Now()
	err := work.Guard(func() error { return f(ctx) })
	if err == nil || !d.opt.Outage(err) {
		d.slowest.note(time.Since(began))
		d.answered.Add(1)
		if d.fallen.Load() {
			work.Notify(d.news)
		}
	}
	return err
}

// Patience is how much silence is no sign that the store is down.
func (d *Detector) Patience() time.Duration {
	slow := d.slowest.of()
	if slow < 0 {
		return d.opt.Timeout // nobody knows it yet
	}
	return min(max(slowTimes*slow, leastPatience), d.opt.Timeout)
}

// watch looks after the calls under way, for all of them together.
func (d *Detector) watch() {
	if d.watching.CompareAndSwap(false, true) {
		d.tick(d.answered.Load(), 0)
	}
}

// tick comes by in a moment, and again for as long as there are calls. seen is
// how many answers there were when the silence began.
func (d *Detector) tick(seen int64, silent time.Duration) {
	time.AfterFunc(watchEvery, func() {
		if d.calls.Load() == 0 || d.ctx.Err() != nil {
			d.watching.Store(false)
			if d.calls.Load() > 0 && d.ctx.Err() == nil {
				d.watch() // it has begun this very moment
			}
			return
		}
		silent += watchEvery
		if now := d.answered.Load(); now != seen {
			seen, silent = now, 0
		}
		patience := d.Patience()
		if silent >= max(checkAfter, patience/3) {
			d.check()
		}
		if silent >= patience {
			d.fail(errSilent, seen)
		}
		d.tick(seen, silent)
	})
}

// check has a probe find out whether the store answers, unless one just has.
func (d *Detector) check() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.checked) >= ProbeEvery/2 {
		d.startProbe()
	}
}

// startProbe starts to probe, if nobody does. The lock is held.
func (d *Detector) startProbe() {
	if d.stopped || d.probing || d.ctx.Err() != nil {
		return
	}
	d.probing = true
	d.wg.Add(1)
	go d.probe()
}

// Wait returns when the last probe has ended, and lets none begin.
func (d *Detector) Wait() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.wg.Wait()
}

// probe asks until the store answers, whomever.
func (d *Detector) probe() {
	defer d.wg.Done()
	defer func() {
		if v := recover(); v != nil {
			work.LogPanic(d.opt.Log, "the probe of the store", v)
			d.mu.Lock()
			d.probing = false
			d.mu.Unlock()
		}
	}()
	answers := make(chan error, maxProbes)
	for stuck := 0; ; {
		seen := d.answered.Load()
		if stuck < maxProbes {
			stuck++
			d.wg.Go(func() { answers <- d.askOnce() })
		}
		var refused error
		select {
		case refused = <-answers:
			stuck--
		case <-d.news:
		case <-time.After(probeAgain):
		case <-d.ctx.Done():
			return
		}
		// A store that answers others is only slow, or this machine is.
		if d.settle(seen) {
			return
		}
		if refused == nil {
			continue
		}
		d.fail(refused, seen)
		select {
		case <-d.news:
			if d.settle(seen) {
				return
			}
		case <-time.After(ProbeEvery*4/5 + rand.N(ProbeEvery*2/5)):
		case <-d.ctx.Done():
			return
		}
	}
}

// askOnce is nil where the store has answered.
func (d *Detector) askOnce() error {
	ctx, cancel := context.WithTimeout(d.ctx, d.opt.Timeout)
	defer cancel()
	err := d.ask(ctx, d.opt.Probe)
	if err == nil || !d.opt.Outage(err) {
		return nil
	}
	return err
}

// fail notes that the store does not answer, unless it has since.
func (d *Detector) fail(err error, seen int64) {
	d.mu.Lock()
	fell := !d.fallen.Load() && d.answered.Load() == seen && d.ctx.Err() == nil
	if fell {
		d.fallen.Store(true)
		d.fellAt = seen
		d.fall()
		d.startProbe()
	}
	d.mu.Unlock()
	if fell {
		d.opt.Fell(err)
	}
}

// settle ends the probing, and an outage with it, if there has been an answer
// since seen, or since the outage began.
func (d *Detector) settle(seen int64) bool {
	d.mu.Lock()
	rose := d.fallen.Load()
	if rose {
		seen = d.fellAt
	}
	if d.answered.Load() == seen {
		d.mu.Unlock()
		return false
	}
	if rose {
		d.up, d.fall = context.WithCancel(d.ctx)
		d.fallen.Store(false)
	}
	d.probing, d.checked, d.tried = false, time.Now(), time.Time{}
	d.mu.Unlock()
	if rose {
		d.opt.Healed()
	}
	return true
}
