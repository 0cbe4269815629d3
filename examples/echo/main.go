// Command echo answers: how do I use Gabble's WebSocket transport by itself?
//
// It sends every message back. A peer that does not read what it is sent is not
// read from either, so that it cannot make the server grow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/gobwas/ws"

	"github.com/gabblehq/chat/transport"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this address")
	var o transport.Options
	flag.StringVar(&o.Engine, "engine", "", "epoll or goroutine; the best there is if empty")
	flag.Int64Var(&o.MaxMessage, "max-message", 64<<10, "largest message in bytes")
	flag.BoolVar(&o.Deflate, "deflate", false, "grant permessage-deflate")
	flag.Parse()
	ln, err := net.Listen("tcp", *addr)
	if err == nil {
		fmt.Printf("echoing at ws://%s/\n", ln.Addr())
		err = run(ctx, ln, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves ln until ctx ends.
func run(ctx context.Context, ln net.Listener, o transport.Options) error {
	tr, err := transport.New(o)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	srv := &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A refusal has been answered already.
			_ = tr.Upgrade(w, r, transport.Upgrade{Deflate: o.Deflate}, func(*transport.Conn) transport.Handler { return echo{tr} })
		}),
	}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	err = srv.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, tr.Close())
}

// most is how much may wait for a peer before we stop reading from it.
const most = 64 << 10

// mostPacked is how long a frame may be to be compressed on the event loop.
const mostPacked = 16 << 10

// echo handles a connection. It has no state of its own.
type echo struct{ tr *transport.Transport }

func (e echo) Message(c *transport.Conn, payload []byte, binary bool) {
	op := ws.OpText
	if binary {
		op = ws.OpBinary
	}
	frame := transport.AppendFrame(nil, op, payload)
	// Here it may take a moment; for longer messages it would have to be done elsewhere.
	if c.Deflates() && len(frame) <= mostPacked {
		if packed := e.tr.Pack(frame); packed != nil {
			frame = packed
		}
	}
	c.Send(frame)
	if c.Buffered() > most {
		c.Pause()
	}
}

func (echo) Writable(c *transport.Conn)            { c.Resume() }
func (echo) TooLarge(c *transport.Conn, _ int64)   { c.Close(1009, "message is too large") }
func (echo) Closed(*transport.Conn, uint16, error) {}
