//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
)

// startArgs begins a server.
type startArgs struct {
	Addr       string `json:"addr"` // empty: any port
	Door       string `json:"door"`
	Key        []byte `json:"key"`         // of the tokens
	Store      string `json:"store"`       // the URL; empty: in memory
	MemProfile bool   `json:"mem_profile"` // record every allocation's origin finely
}

type startResult struct {
	Addr string `json:"addr"`
}

// load is what a server has done so far.
type load struct {
	CPU      int64 `json:"cpu"` // microseconds
	Commands int64 `json:"commands"`
	Failed   int64 `json:"failed"`
	Sent     int64 `json:"sent"` // frames of messages, to all members
	Writes   int64 `json:"writes"`
	Refused  int64 `json:"refused"`
	Fills    int64 `json:"fills"`
	Resets   int64 `json:"resets"`
	BytesOut int64 `json:"bytes_out"`
}

// sendArgs makes the host itself send to rooms.
type sendArgs struct {
	Rooms   int    `json:"rooms"`
	Each    int    `json:"each"`
	Content string `json:"content"`
}

// host is a program that embeds the SDK, and its pipe to the parent.
type host struct {
	chat *chat.Server
	shut func() error // closes the store
	web  *http.Server
	done chan error // the result of serving
	prof *os.File
}

// runServer is the role of the server process.
func runServer(in io.Reader, out io.Writer) error {
	h := &host{done: make(chan error, 1)}
	m := &mouth{out: out}
	o := ops{
		"start":   op(h.start),
		"load":    op(h.load),
		"sizes":   op(h.sizes),
		"collect": op(h.collect),
		"send":    op(h.send),
		"profile": op(h.profile),
		"heap":    op(heapProfile),
	}
	err := orders(in, func(ord order) { o.carry(m, ord) })
	return errors.Join(err, h.stop())
}

func (h *host) start(a startArgs) (any, error) {
	if a.MemProfile {
		runtime.MemProfileRate = 512
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, shut, err := openStore(context.Background(), a.Store, log)
	if err != nil {
		return nil, err
	}
	srv, err := chat.New(&chat.Options{
		Store:        store,
		Authenticate: auth.JWT(a.Key),
		Logger:       log,
	})
	if err != nil {
		return nil, errors.Join(err, shut())
	}
	ln, err := net.Listen("tcp", cmp.Or(a.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, errors.Join(err, srv.Close(), shut())
	}
	h.chat, h.shut = srv, shut
	if a.Door == "raw" {
		go func() { h.done <- srv.Serve(ln) }()
	} else {
		mux := http.NewServeMux()
		mux.Handle("/chat/", http.StripPrefix("/chat", srv))
		h.web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() { h.done <- h.web.Serve(ln) }()
	}
	return startResult{ln.Addr().String()}, nil
}

func (h *host) stop() error {
	if h.chat == nil {
		return nil
	}
	err := h.chat.Close()
	if h.web != nil {
		err = errors.Join(err, h.web.Close())
	}
	if e := <-h.done; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, chat.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, h.shut())
}

func (h *host) load(struct{}) (any, error) {
	cpu, err := cpuTime()
	s := h.chat.Stats()
	return load{
		CPU: cpu, Commands: s.Commands, Failed: s.Failed, Sent: s.Delivered, Writes: s.Writes,
		Refused: s.Refused, Fills: s.Backfills, Resets: s.Resets, BytesOut: s.BytesOut,
	}, err
}

func (h *host) sizes(struct{}) (any, error) {
	s, err := takeSizes()
	if h.chat != nil {
		st := h.chat.Stats()
		s.Conns, s.RoomsLive = st.Connections, st.Rooms
	}
	return s, err
}

// collect is sizes after a collection of garbage.
func (h *host) collect(struct{}) (any, error) {
	debug.FreeOSMemory()
	return h.sizes(struct{}{})
}

// send sends messages as host code does, past any connection.
func (h *host) send(a sendArgs) (any, error) {
	for range a.Each {
		for i := range a.Rooms {
			if _, err := h.chat.Room(roomName(i)).Send(context.Background(), chat.Message{User: "host", Content: a.Content}); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// profile starts a CPU profile into the file, or ends the one there is.
func (h *host) profile(path string) (any, error) {
	if h.prof != nil {
		pprof.StopCPUProfile()
		err := h.prof.Close()
		h.prof = nil
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	h.prof = f
	return nil, pprof.StartCPUProfile(f)
}

func heapProfile(path string) (any, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	runtime.GC() // the profile shows what the last collection has left
	return nil, errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

func roomName(i int) string { return fmt.Sprintf("room-%d", i) }
func userName(i int) string { return fmt.Sprintf("user-%d", i) }

// token is what user i shows at the door.
func token(key []byte, i int) (string, error) {
	return auth.Sign(key, chat.User{ID: userName(i), Name: fmt.Sprintf("User %d", i)}, 24*time.Hour)
}

// filler is content of n bytes.
func filler(n int) string {
	const text = "The quick brown fox jumps over the lazy dog. "
	return strings.Repeat(text, n/len(text)+1)[:n]
}
