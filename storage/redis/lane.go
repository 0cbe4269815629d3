package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

// lanes are the ways to the masters, one each. Writes that wait for the same
// one share a pipeline.
type lanes struct {
	mu     sync.Mutex
	byNode map[string]*lane
	closed bool
}

const (
	flights  = 3    // pipelines on the way to a master at once, at most
	perBatch = 256  // commands of a pipeline, at most
	maxQueue = 8192 // commands that wait for a master, at most
)

// lane gathers while its flights are on the way, and does not wait for more
// when they are not: at light load each command goes at once.
type lane struct {
	s      *Store
	master string

	mu      sync.Mutex
	queue   []*pending
	flights int
}

// pending is a command that waits.
type pending struct {
	cmd    *command
	bucket int
	state  atomic.Int32
	done   chan struct{}
	reply  []any // after done
	err    error
}

const (
	queued int32 = iota
	sent
	dropped // its caller has gone
)

// close reports false if it was closed before.
func (ls *lanes) close() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	was := ls.closed
	ls.closed = true
	return !was
}

// enter counts a piece of work that Close waits for.
func (s *Store) enter() error {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	if s.lanes.closed {
		return errClosed
	}
	s.wg.Add(1)
	return nil
}

// lane returns the way to the master of a bucket.
func (s *Store) lane(ctx context.Context, bucket int) (*lane, error) {
	master := ""
	if s.cluster != nil {
		node, err := s.cluster.MasterForKey(ctx, s.keys.tag(bucket))
		if err != nil {
			return nil, unavailable(err)
		}
		master = node.Options().Addr
	}
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	l := s.lanes.byNode[master]
	if l == nil {
		l = &lane{s: s, master: master}
		s.lanes.byNode[master] = l
	}
	return l, nil
}

// write runs a command that writes and returns its reply. The error is
// ErrUnavailable if nothing has been written, else ErrUnknown.
func (s *Store) write(ctx context.Context, bucket int, cmd *command) ([]any, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.wg.Done()
	l, err := s.lane(ctx, bucket)
	if err != nil {
		return nil, err
	}
	p := &pending{cmd: cmd, bucket: bucket, done: make(chan struct{})}
	if !l.add(p) {
		return nil, errBusy
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.state.CompareAndSwap(queued, dropped) {
			return nil, chat.Errorf(chat.CodeUnavailable, "given up before it was sent: %w", context.Cause(ctx))
		}
		return nil, failed(ctx.Err())
	}
	return p.reply, p.err
}

// add reports false if too much is waiting.
func (l *lane) add(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueue {
		return false
	}
	l.queue = append(l.queue, p)
	if l.flights < flights {
		l.flights++
		l.s.wg.Add(1)
		go l.fly()
	}
	return true
}

// fly sends what waits until nothing does.
func (l *lane) fly() {
	defer l.s.wg.Done()
	for {
		batch := l.take()
		if batch == nil {
			return
		}
		if err := guarded(func() error { l.send(batch); return nil }); err != nil {
			l.abandon(batch, err)
		}
	}
}

// abandon answers those of a batch that have had no answer when its flight
// panicked.
func (l *lane) abandon(batch []*pending, err error) {
	l.s.log.Error("redis: panic in the driver", "err", err)
	for _, p := range batch {
		select {
		case <-p.done:
		default:
			p.err = fmt.Errorf("redis: %w: the driver panicked", chat.ErrUnknown)
			close(p.done)
		}
	}
}

func (l *lane) take() []*pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		n := min(len(l.queue), perBatch)
		if n == 0 {
			l.queue = nil
			l.flights--
			return nil
		}
		batch := make([]*pending, 0, n)
		for _, p := range l.queue[:n] {
			if p.state.CompareAndSwap(queued, sent) {
				batch = append(batch, p)
			}
		}
		clear(l.queue[:n])
		l.queue = l.queue[n:]
		if len(batch) > 0 {
			return batch
		}
	}
}

func (l *lane) send(batch []*pending) {
	ctx, cancel := context.WithTimeout(context.Background(), l.s.opts.Timeout)
	defer cancel()
	loads := l.loads(ctx, batch)
	err := l.pipeline(ctx, loads)
	var again []*load
	for _, ld := range loads {
		if l.s.cluster != nil && elsewhere(ld.cmd.Err()) {
			l.s.cluster.ReloadState(ctx) // so that the next try finds it
		}
		if noScript(ld.cmd.Err()) {
			ld.cmd = ld.cmd.whole(ctx)
			again = append(again, ld)
		} else {
			ld.settle(l.s, err)
		}
	}
	if len(again) > 0 {
		err = l.pipeline(ctx, again)
		for _, ld := range again {
			ld.settle(l.s, err)
		}
	}
}

// pipeline runs the commands. Its error says that too few replicas have them.
func (l *lane) pipeline(ctx context.Context, loads []*load) error {
	s := l.s
	var pipe goredis.Pipeliner
	if s.cluster != nil && s.opts.Wait > 0 {
		// WAIT goes for its own connection: no redirecting on the way.
		node, err := s.cluster.MasterForKey(ctx, loads[0].cmd.Args()[3].(string))
		if err != nil {
			for _, ld := range loads {
				ld.cmd.SetErr(err)
			}
			return nil
		}
		pipe = node.Pipeline()
	} else {
		pipe = s.client.Pipeline()
	}
	for _, ld := range loads {
		_ = pipe.Process(ctx, ld.cmd) // queues it; its error is its own
	}
	if s.opts.Wait == 0 {
		_, _ = pipe.Exec(ctx)
		return nil
	}
	wait := goredis.NewIntCmd(ctx, "wait", s.opts.Wait, s.opts.WaitTimeout.Milliseconds())
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx)
	return l.replicated(ctx, wait)
}
