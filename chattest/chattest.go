// Package chattest runs a chat in memory, for the tests of programs that embed
// one. There is no port and no file, and everything works inside a
// [testing/synctest] bubble, where time is the test's: heartbeats, graces and
// expiries happen when the test lets them.
//
//	srv := chattest.New(t, nil)
//	alice, bob := srv.Dial("alice"), srv.Dial("bob")
//	alice.Join("general")
//	bob.Join("general")
//	alice.Send("general", "hello")
//	ev := bob.Expect("message")
package chattest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
)

// Server is a chat server on an in-memory network, closed when the test ends.
type Server struct {
	*chat.Server
	t  testing.TB
	ln *listener
}

// New starts a server with the options. A nil Store is a memory store; a nil
// Authenticate takes the bearer token as the user's id and name.
func New(t testing.TB, o *chat.Options) *Server {
	t.Helper()
	var opt chat.Options
	if o != nil {
		opt = *o
	}
	if opt.Store == nil {
		opt.Store = memory.New()
	}
	if opt.Authenticate == nil {
		opt.Authenticate = TokenIsUser
	}
	srv, err := chat.New(&opt)
	if err != nil {
		t.Fatal(err)
	}
	return Serve(t, srv, http.StripPrefix("/chat", srv))
}

// Serve puts a server on an in-memory network behind the host's own handler: the mux
// with the chat mounted where it is, and sign-in, sessions and pages beside it. Both are
// closed when the test ends.
//
//	srv := chattest.Serve(t, chatServer, app.Routes())
//	web := srv.HTTP("")          // for "http://chat.test/login" and the like
//	web.Jar, _ = cookiejar.New(nil)
//	...
//	alice := srv.DialWith(chattest.DialOptions{Path: "/api/chat/ws", Jar: web.Jar})
func Serve(t testing.TB, srv *chat.Server, h http.Handler) *Server {
	t.Helper()
	s := &Server{Server: srv, t: t, ln: newListener()}
	hs := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = hs.Serve(s.ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		_ = hs.Close()
		<-served
	})
	return s
}

// TokenIsUser is an [chat.Authenticator] for tests: whoever shows a bearer
// token is the user whose id and name it is.
func TokenIsUser(r *http.Request) (chat.User, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return chat.User{}, chat.ErrUnauthenticated
	}
	return chat.User{ID: token, Name: token}, nil
}

// DialContext opens a connection of the in-memory network to the server,
// whatever the address.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.ln.dial(ctx)
}

// HTTP returns a client for the server's REST endpoints, under
// "http://chat.test/chat/", and for whatever else its handler serves. Every request
// carries the user's token; none, if it is empty. Set the client's Jar for cookies.
func (s *Server) HTTP(token string) *http.Client {
	tr := &http.Transport{DialContext: s.DialContext}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: bearer{tr, token}}
}

type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.RoundTripper.RoundTrip(r)
}

// listener is a net.Listener whose connections are pipes.
type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return addr{} }

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, errors.New("chattest: the server is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "chat.test" }

// patience is how long a client waits for what a test expects. In a synctest
// bubble it passes in no time.
const patience = 10 * time.Second
