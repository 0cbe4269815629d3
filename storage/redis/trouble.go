package redis

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

// What clients are told of a failure. The driver's words, which can hold
// addresses and scripts, go to the log alone.
var (
	errFull   = &chat.Error{Code: chat.CodeUnavailable, Message: "the store is full"}
	errFixed  = &chat.Error{Code: chat.CodeUnavailable, Message: "the store takes no changes at present"}
	errSilent = &chat.Error{Code: chat.CodeUnavailable, Message: "the store does not answer"}
)

// causes are what a server refuses for that somebody who runs it can mend, by
// how its errors begin.
var causes = []struct {
	begins string
	told   *chat.Error
	advice string
}{
	{"OOM ", errFull, "its memory is full: raise maxmemory, or bound rooms by MaxMessages and MaxAge"},
	{"MISCONF ", errFixed, "it cannot persist what it has: its log says why, often a full disk"},
	{"READONLY ", errFixed, "it is a replica: have the client find the master, by Sentinel or as a cluster"},
	{"NOREPLICAS ", errFixed, "it has fewer good replicas than min-replicas-to-write"},
	{"NOAUTH ", errSilent, "it wants a user and a password"},
	{"WRONGPASS ", errSilent, "it does not take the user or the password"},
	{"NOPERM ", errSilent, "the user lacks rights: the package's documentation lists them"},
}

// said is what clients are told, and what can be done, if anything.
func said(err error) (told *chat.Error, cause, advice string) {
	s := err.Error()
	for _, c := range causes {
		if strings.HasPrefix(s, c.begins) {
			return c.told, c.begins, c.advice
		}
	}
	return errSilent, "", ""
}

// troubles are what the operator has been told of, and has not mended yet.
type troubles struct {
	mu  sync.Mutex
	now map[string]struct{}
}

// evicts is the cause that does not keep changes from being made.
const evicts = "maxmemory-policy"

// begin reports whether this is news.
func (t *troubles) begin(cause string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.now[cause]; ok {
		return false
	}
	if t.now == nil {
		t.now = make(map[string]struct{})
	}
	t.now[cause] = struct{}{}
	return true
}

// end forgets the causes that over tells, and reports whether there were any.
func (t *troubles) end(over func(cause string) bool) (any bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for cause := range t.now {
		if over(cause) {
			delete(t.now, cause)
			any = true
		}
	}
	return any
}

// wrote notes how a change has ended: each cause is logged once, until changes
// are made again.
func (s *Store) wrote(err error) {
	if err == nil {
		if s.refusing.Load() && s.refusing.CompareAndSwap(true, false) {
			if s.troubles.end(func(cause string) bool { return cause != evicts }) {
				s.log.Info("redis: the server takes changes again")
			}
		}
		return
	}
	if _, cause, advice := said(err); cause != "" {
		s.refusing.Store(true)
		if s.troubles.begin(cause) {
			s.log.Error("redis: the server refuses changes", "advice", advice, "err", err)
		}
	}
}

// inspect looks whether the server has been set to throw rooms away.
func (s *Store) inspect(ctx context.Context) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	switch err := s.check(ctx); {
	case err == nil:
		if s.troubles.end(func(cause string) bool { return cause == evicts }) {
			s.log.Info("redis: the server keeps all rooms again")
		}
	case isInvalid(err) && s.troubles.begin(evicts):
		s.log.Error("redis: the server is not set up as it has to be", "err", err)
	}
}

// probeTTL is how long a probe stays in the server.
const probeTTL = 10 * time.Second

// Check implements [chat.Checker]: it has each master keep something for a
// moment.
func (s *Store) Check(ctx context.Context) error {
	if err := alive(ctx); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.wg.Done()
	ctx, cancel := s.bound(ctx)
	defer cancel()
	asked := make(map[string]bool)
	for b := range buckets {
		client, addr, err := s.master(ctx, b)
		if err != nil {
			return err
		}
		if asked[addr] {
			continue
		}
		asked[addr] = true
		err = client.Set(ctx, s.keys.probe(b), 1, probeTTL).Err()
		s.wrote(err)
		if err != nil {
			return unavailable(err)
		}
	}
	return nil
}
