//go:build linux

// Scale measures this SDK where it stands. It answers the question: how many
// connections and deliveries does one machine take?
//
//	go run ./examples/scale -mode idle -conns 15000 -rooms 150
//	go run ./examples/scale -mode fanout -members 10000 -window 64
//	go run ./examples/scale -mode rooms -conns 5000 -rooms 500
//	go run ./examples/scale -mode storm -conns 10000 -rooms 100
//	go run ./examples/scale -mode slow -members 1000 -stalled 20
//	go run ./examples/scale -mode compare -json -
//	go run ./examples/scale -mode cluster -processes 6 -conns 100000 -rooms 5000
//
// The server is a process of its own that embeds the SDK as a host would. The
// clients are another one: real sockets and real frames, one event loop, no
// goroutine per connection. Both run on this machine and share its cores, so
// the server's CPU time per delivery says more than deliveries per second.
// Nothing counts that the clients have not decoded, unless -decode once allows
// them to compare it with what they have, and a position that is missing,
// doubled or out of order on any connection fails the run.
//
// compare puts the SDK beside a bare server, which writes the same bytes to as
// many sockets and does nothing else: a machine's own speed drops out of the
// ratio of the two.
//
// cluster starts many servers that share a store, Redis say, and as many client
// processes as the limit on open files asks for. Every room has members on all
// of them, so that every message has to cross, and the run fails unless each
// member receives each message of its room once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if role, ok := childRole(os.Args[1:]); ok {
		signal.Ignore(os.Interrupt) // the parent ends its children
		if err := serveRole(role, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "scale: %s: %v\n", role, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// childRole tells whether the program has been started by itself, and as what.
func childRole(args []string) (role string, ok bool) {
	if len(args) == 2 && args[0] == "-role" {
		return args[1], true
	}
	return "", false
}

// serveRole is a child process: it obeys its parent until that closes in.
func serveRole(role string, in io.Reader, out io.Writer) error {
	switch role {
	case "server":
		return runServer(in, out)
	case "bare-server":
		return runBare(in, out)
	case "client":
		return runClient(in, out)
	}
	return fmt.Errorf("no role %q", role)
}

// run is the program: one mode, its table, and the JSON if asked for.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := configure(args, stderr)
	if err != nil {
		return err
	}
	d := &driver{cfg: cfg, stdout: stdout, stderr: stderr}
	defer d.stop()
	var res any
	switch cfg.Mode {
	case "idle":
		res, err = d.idle(ctx)
	case "fanout":
		res, err = d.fanout(ctx)
	case "compare":
		res, err = d.compare(ctx)
	case "rooms":
		res, err = d.rooms(ctx)
	case "storm":
		res, err = d.storm(ctx)
	case "slow":
		res, err = d.slow(ctx)
	case "cluster":
		res, err = d.cluster(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Mode, err)
	}
	return writeJSON(cfg.JSON, stdout, report{Machine: machine(), Config: cfg, Result: res})
}
