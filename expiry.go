package chat

import (
	"time"

	"github.com/gabblehq/chat/internal/directory"
	"github.com/gabblehq/chat/internal/names"
)

// A token lasts for hours, and a timer for each session until then would cost
// more than the rest of it. So an expirySweep looks at a part of the sessions
// every second, and only what ends before it comes by again gets a timer.
const (
	expirySweepEvery = time.Second
	expiryRound      = directory.Shards * expirySweepEvery
)

// expirySweep visits one shard of the directory after the other.
type expirySweep struct {
	srv  *Server
	next int
}

func (e *expirySweep) Ring(now time.Time) {
	defer e.srv.timers.At(now.Add(expirySweepEvery), e) // whatever happens
	users := e.srv.users
	for _, s := range users.Shard(e.next) {
		if who := s.who.Load(); who != nil {
			s.expire(who, now)
		}
	}
	e.next = (e.next + 1) % directory.Shards
}

// expire has ring called when who expires, unless that is so late that the
// sweep comes by before.
func (s *session) expire(who *names.Identity, now time.Time) {
	// Twice the round: a machine that was held up must not miss it.
	if at, ok := s.srv.expires(who); ok && at.Before(now.Add(2*expiryRound)) {
		s.srv.timers.At(at, s)
	}
}
