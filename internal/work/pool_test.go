package work_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/work"
)

type task func()

func (f task) Work() { f() }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestEveryTaskIsDone: whatever tasks do to their workers, and those that were
// given to a pool that is closed.
func TestEveryTaskIsDone(t *testing.T) {
	for name, harm := range map[string]func(){
		"nothing": func() {}, "panics": func() { panic("harm") }, "ends its goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			g := work.NewGroup(quiet())
			p := g.Pool(work.Limits{Workers: 2, Idle: 1})
			var done sync.WaitGroup
			done.Add(50)
			for range 50 {
				p.Run(task(func() { defer done.Done(); harm() }))
			}
			done.Wait()
			g.Close()
			done.Add(1)
			p.Run(task(done.Done))
			done.Wait()
			g.Close()
		})
	}
}

// TestWorkersAreBounded: beside those that wait, of which there are not too many
// either.
func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := work.NewGroup(quiet())
		p := g.Pool(work.Limits{Workers: 2, Parked: 1, Idle: 2})
		hold := make(chan struct{})
		var mu sync.Mutex
		busy, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			busy += n
			most = max(most, busy)
		}
		plain := task(func() { count(1); defer count(-1); <-hold })
		for range 4 {
			p.Run(plain)
		}
		synctest.Wait()
		tasks, parked := p.Waiting()
		require.Equal(t, []int{2, 0}, []int{tasks, parked})
		close(hold)
		synctest.Wait()
		require.Equal(t, 2, most)

		var parks []bool
		hold = make(chan struct{})
		for range 2 {
			p.Run(task(func() {
				ok := p.Park()
				mu.Lock()
				parks = append(parks, ok)
				mu.Unlock()
				<-hold
				if ok {
					p.Unpark()
				}
			}))
		}
		synctest.Wait()
		require.ElementsMatch(t, []bool{true, false}, parks)
		ran := false
		p.Run(task(func() { ran = true }))
		synctest.Wait()
		require.True(t, ran, "in the place of the parked one")
		close(hold)
		g.Close()
	})
}

// TestADetachedWorkerLeavesItsPlace to what waits.
func TestADetachedWorkerLeavesItsPlace(t *testing.T) {
	g := work.NewGroup(quiet())
	p := g.Pool(work.Limits{Workers: 1, Idle: 1})
	done := make(chan struct{})
	p.Run(task(func() {
		p.Run(task(func() { close(done) }))
		p.Detach()
		defer p.Attach()
		<-done
	}))
	<-done
	g.Close()
}

// TestGateWaitsForThoseWhoAreIn and lets nobody in then.
func TestGateWaitsForThoseWhoAreIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g work.Gate
		require.True(t, g.Enter())
		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		synctest.Wait()
		require.False(t, g.Enter())
		select {
		case <-closed:
			t.Fatal("somebody is in")
		default:
		}
		g.Leave()
		<-closed
	})
}

func TestGuardTurnsAPanicIntoAnError(t *testing.T) {
	no := errors.New("no")
	require.Equal(t, no, work.Guard(func() error { return no }))
	var p *work.Panic
	require.ErrorAs(t, work.Guard(func() error { panic(no) }), &p)
	require.Equal(t, "no", p.Value)
	require.Contains(t, string(p.Stack), "pool_test.go")
}

// TestALoopIsBegunAnew where it has panicked, but not after the end.
func TestALoopIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		loop := func(ctx context.Context, returns int) time.Duration {
			calls = 0
			start := time.Now()
			work.Loop(ctx, time.Minute, quiet(), "it", func() {
				if calls++; calls != returns {
					panic("no")
				}
			})
			return time.Since(start)
		}
		require.Equal(t, 2*time.Minute, loop(t.Context(), 3))
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		require.Equal(t, 90*time.Second, loop(ctx, 0))
		require.Equal(t, 2, calls)
	})
}

// TestWithinLeavesBehindWhatHasComeToAHalt, but not before there is a hurry.
func TestWithinLeavesBehindWhatHasComeToAHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurry, end := make(chan struct{}), make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(hurry) })
		start := time.Now()
		require.False(t, work.Within(time.Minute, hurry, quiet(), "it", func() { <-end }))
		require.Equal(t, time.Hour+time.Minute, time.Since(start))
		close(end)
		require.True(t, work.Within(time.Minute, hurry, quiet(), "it", func() { panic("it has returned, too") }))
	})
}
