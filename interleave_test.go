package chat_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// points are where host code and the store are called while a command is under
// way. The nth one stands still until it is let go.
type points struct {
	mu      sync.Mutex
	nth, n  int
	stopped chan struct{}
	release chan struct{}
}

func (p *points) arm(nth int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nth, p.n, p.stopped, p.release = nth, 0, make(chan struct{}), make(chan struct{})
}

func (p *points) pass() {
	p.mu.Lock()
	p.n++
	here, release := p.n == p.nth, p.release
	if here {
		close(p.stopped)
	}
	p.mu.Unlock()
	if here {
		<-release
	}
}

// reached reports whether the point has been come to.
func (p *points) reached() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// stopping is a store whose reads are points, before and after.
type stopping struct {
	chat.Store
	*points
}

func (s stopping) Unwrap() chat.Store { return s.Store }

func (s stopping) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	s.pass()
	page, err := s.Store.History(ctx, room, q)
	s.pass()
	return page, err
}

func (s stopping) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	s.pass()
	return s.Store.(chat.PresenceKeeper).Attendances(ctx, rooms)
}

func (s stopping) Attend(ctx context.Context, node string, lease time.Duration, changes []chat.Attendance) ([]string, bool, error) {
	return s.Store.(chat.PresenceKeeper).Attend(ctx, node, lease, changes)
}

// gatekeeping are options all of whose host code is a point, and which let
// nobody whose name is in out do anything.
func gatekeeping(p *points, out *sync.Map) chat.Options {
	banned := func(user string) bool { _, ok := out.Load(user); return ok }
	return chat.Options{
		Logger: quiet,
		Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				p.pass()
				defer p.pass()
				return next(ctx, cmd)
			}
		}},
		Authenticate: func(r *http.Request) (chat.User, error) {
			u, err := chattest.TokenIsUser(r)
			if err == nil && banned(u.ID) {
				err = errors.New("banned")
			}
			p.pass() // decided, and not said yet
			return u, err
		},
		Authorize: func(_ context.Context, u chat.User, _ chat.Action, _ chat.RoomInfo) error {
			refused := banned(u.ID)
			p.pass()
			if refused {
				return chat.ErrForbidden
			}
			return nil
		},
		Users: func(context.Context, []string) ([]chat.User, error) { p.pass(); return nil, nil },
	}
}

// interleave runs the test once for each point that a command passes, on one
// server and on two: there, what ends the permission is done on the other one.
func interleave(t *testing.T, test func(t *testing.T, p *points, out *sync.Map, here, there *chattest.Server) (reached bool)) {
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprint("nodes ", nodes), func(t *testing.T) {
			n := 1
			for more := true; more; n++ {
				together(t, 0, func(t *testing.T, g *group) {
					p, out := &points{}, &sync.Map{}
					p.arm(0)
					for range nodes {
						node := g.Node()
						o := gatekeeping(p, out)
						o.Store = stopping{node, p}
						g.serve(node, o)
					}
					synctest.Wait()
					p.arm(n)
					more = test(t, p, out, g.srvs[0], g.srvs[nodes-1])
				})
			}
			require.Greater(t, n, 4, "so few points cannot be all")
			t.Log(n-2, "points")
		})
	}
}
