package chat

import (
	"log/slog"
	"sync"
	"time"
)

// sampleEvery is how often at most something is logged that anybody can make happen.
const sampleEvery = 10 * time.Second

// sampler keeps whoever can make something happen from filling the log with it: of each
// message one line a period is written, with the number of those that were left out.
// The messages are the program's own, so there are few. The zero value is ready.
type sampler struct {
	mu    sync.Mutex
	kinds map[string]*sampled
}

type sampled struct {
	next time.Time
	more int
}

func (s *sampler) warn(log *slog.Logger, msg string, args ...any) {
	now := time.Now()
	s.mu.Lock()
	if s.kinds == nil {
		s.kinds = make(map[string]*sampled)
	}
	k := s.kinds[msg]
	if k == nil {
		k = new(sampled)
		s.kinds[msg] = k
	}
	if now.Before(k.next) {
		k.more++
		s.mu.Unlock()
		return
	}
	more := k.more
	k.next, k.more = now.Add(sampleEvery), 0
	s.mu.Unlock()
	log.Warn(msg, append(args, "more", more)...)
}
