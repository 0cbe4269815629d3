package safelog

import (
	"log/slog"
	"sync"
	"time"
)

// sampleEvery is how often at most something is logged that anybody can make happen.
const sampleEvery = 10 * time.Second

// maxSampled bounds what is remembered of causes, which stores may word as they like.
const maxSampled = 100

// Sampler keeps whoever can make something happen from filling the log with it: of each
// message one line a period is written, with the number of those that were left out.
// The zero value is ready. It is safe for concurrent use.
type Sampler struct {
	mu    sync.Mutex
	kinds map[string]*sampled
}

type sampled struct {
	next time.Time
	more int
}

// Warn logs a message, unless it has been lately.
func (s *Sampler) Warn(log *slog.Logger, msg string, args ...any) {
	s.WarnOf(msg, log, msg, args...)
}

// WarnOf is Warn where one message has several causes, each logged by itself.
func (s *Sampler) WarnOf(cause string, log *slog.Logger, msg string, args ...any) {
	if more, ok := s.Take(cause); ok {
		log.Warn(msg, append(args, "more", more)...)
	}
}

// Take reports whether a cause is to be logged now, and how often it has been left out
// since it last was.
func (s *Sampler) Take(cause string) (more int, ok bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[string]*sampled)
	}
	k := s.kinds[cause]
	if k == nil {
		if len(s.kinds) >= maxSampled {
			clear(s.kinds)
		}
		k = new(sampled)
		s.kinds[cause] = k
	}
	if now.Before(k.next) {
		k.more++
		return 0, false
	}
	more = k.more
	k.next, k.more = now.Add(sampleEvery), 0
	return more, true
}
