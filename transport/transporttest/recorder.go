package transporttest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gabblehq/chat/transport"
)

// Recorder is a Handler that keeps what it is told and checks the Handler's own
// contract: no call overlaps another, none follows Closed.
type Recorder struct {
	// OnMessage is called inside Message, OnWritable inside Writable.
	OnMessage  func(c *transport.Conn, payload []byte, binary bool)
	OnWritable func(c *transport.Conn)

	Messages chan Message
	Drained  chan struct{} // Writable was called; holds one
	Large    chan int64
	End      chan End

	mu     sync.Mutex
	inside string
	closed bool
	broken []string
}

// Message is a message that was delivered.
type Message struct {
	Payload string
	Binary  bool
}

// End is what Closed was told.
type End struct {
	Code uint16
	Err  error
}

// NewRecorder returns a Recorder with room for many messages.
func NewRecorder() *Recorder {
	return &Recorder{
		Messages: make(chan Message, 1<<14),
		Drained:  make(chan struct{}, 1),
		Large:    make(chan int64, 1<<10),
		End:      make(chan End, 1<<14),
	}
}

func (r *Recorder) enter(what string) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inside != "" {
		r.broken = append(r.broken, fmt.Sprintf("%s during %s", what, r.inside))
	}
	if r.closed {
		r.broken = append(r.broken, what+" after Closed")
	}
	r.inside = what
	r.closed = r.closed || what == "Closed"
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.inside = ""
	}
}

// Message implements transport.Handler.
func (r *Recorder) Message(c *transport.Conn, payload []byte, binary bool) {
	defer r.enter("Message")()
	if r.OnMessage != nil {
		r.OnMessage(c, payload, binary)
	}
	r.Messages <- Message{string(payload), binary}
}

// TooLarge implements transport.Handler.
func (r *Recorder) TooLarge(_ *transport.Conn, size int64) {
	defer r.enter("TooLarge")()
	r.Large <- size
}

// Writable implements transport.Handler.
func (r *Recorder) Writable(c *transport.Conn) {
	defer r.enter("Writable")()
	if r.OnWritable != nil {
		r.OnWritable(c)
	}
	select {
	case r.Drained <- struct{}{}:
	default:
	}
}

// Closed implements transport.Handler.
func (r *Recorder) Closed(_ *transport.Conn, code uint16, err error) {
	defer r.enter("Closed")()
	r.End <- End{code, err}
}

// Check reports violations of the Handler's contract.
func (r *Recorder) Check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.broken {
		t.Errorf("calls of one connection never overlap and end with Closed: %s", b)
	}
}

// Wait takes an event, or fails the test when none comes.
func Wait[T any](t testing.TB, events <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-events:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// None fails the test if an event is there already.
func None[T any](t testing.TB, events <-chan T, what string) {
	t.Helper()
	select {
	case v := <-events:
		t.Fatalf("unexpected %s: %v", what, v)
	default:
	}
}
