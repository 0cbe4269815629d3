package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/gabblehq/chat"
)

type config struct {
	addr   string
	store  string
	wait   time.Duration
	secret []byte // nil: see signingSecret
}

// configure reads the flags; what is not given there comes from the
// environment.
func configure(args []string, env func(string) string, stdout io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.StringVar(&cfg.addr, "addr", or(env("GABBLE_ADDR"), "127.0.0.1:8080"), "listen on this `address` (GABBLE_ADDR)")
	flags.StringVar(&cfg.store, "store", or(env("GABBLE_STORE"), defaultStore),
		"keep messages in this `store` (GABBLE_STORE): memory:, sqlite:FILE, redis://HOST:PORT or postgres://USER@HOST/DATABASE")
	flags.DurationVar(&cfg.wait, "wait", 30*time.Second, "wait for so `long` for a store that does not answer yet")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q; the flags are -addr, -store and -wait", flags.Arg(0))
	}
	if s := env("GABBLE_SECRET"); s != "" {
		cfg.secret = []byte(s)
	}
	return cfg, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// furnish sees that there is a room to come into, as soon as the store answers.
func furnish(ctx context.Context, srv *chat.Server, wait time.Duration) error {
	ready, cancel := context.WithTimeout(ctx, max(wait, openTimeout))
	defer cancel()
	if err := srv.Ready(ready); err != nil {
		return err
	}
	_, err := srv.Room("lobby").Create(ctx, chat.RoomInfo{Kind: chat.RoomPublic, Title: "Lobby", Topic: "Everybody is welcome"})
	if errors.Is(err, chat.ErrConflict) {
		return nil
	}
	return err
}

// newLogger logs for people where people look, for machines elsewhere.
func newLogger(out io.Writer) *slog.Logger {
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
			return slog.New(slog.NewJSONHandler(out, nil))
		}
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: shortTime}))
}

func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(a.Key, a.Value.Time().Format("15:04:05"))
	}
	return a
}

// address is what to type into a browser.
func address(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// listenError says what to do next, where that is clear.
func listenError(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken: another program listens there, perhaps this one.\n      Try another port: go run ./examples/chat -addr 127.0.0.1:8081", addr)
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}
