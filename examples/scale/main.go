//go:build linux

// Scale measures this SDK where it stands. It answers the question: how many
// connections and deliveries does one machine take?
//
// Each mode prints a table, and what connecting has cost, with JSON and plots if
// asked for:
//
//	go run ./examples/scale -mode idle -conns 15000 -rooms 150 -door raw -plot results
//	go run ./examples/scale -mode fanout -members 10000 -window 64
//	go run ./examples/scale -mode compare -json -
//	go run ./examples/scale -mode rooms -conns 5000 -rooms 500
//	go run ./examples/scale -mode latency -plot results
//	go run ./examples/scale -mode latency -members 1000 -rates 50,100,200,300 -plot results
//	go run ./examples/scale -mode slow -members 1000 -stalled 1 -trickling 1 -slow 100
//	go run ./examples/scale -mode storm -conns 9500 -rooms 95 -restart
//	go run ./examples/scale -mode inbound
//	go run ./examples/scale -mode probe
//	go run ./examples/scale -mode peers
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
// idle has connections join and then do nothing: VmRSS per connection is that
// of the server after -settle, less that of the empty server, at the default
// GOGC.
//
// fanout sends to one room, -window messages at a time. compare does so with
// the SDK and with a bare server in turn, which writes the same bytes to as many
// sockets and does nothing else: a machine's own speed drops out of the ratio of
// the two. rooms has every member of many rooms write as fast as its messages
// are acknowledged.
//
// latency sends at a fixed rate, whatever becomes of it, and counts from when
// each message was due, not from when it could be sent: a server that keeps its
// clients from sending does not look better for it (coordinated omission). The
// SDK and the bare server take turns. Without flags that is 20,000 deliveries/s
// to 5,000 connections.
//
// slow sends at a fixed rate while some members read nothing, or little, and
// says what the others notice of it, what the server's memory does, and what the
// kernel holds for the slow ones (by /proc/net/tcp). Afterwards they read on and
// must catch up with everything.
//
// storm cuts all connections at the same moment and has all clients come back at
// once, without any jitter, resume, and catch up with what has been sent
// meanwhile. With -restart the server process is killed, too, and another one
// takes its address; the store has to be on disk then, or all positions would be
// void.
//
// inbound has connections send and the server do nothing with what comes: the
// transport by itself, beside a loop that reads and parses nothing, in turn. Then
// sessions send to a room of their own each, and to -rooms rooms, through the
// whole SDK, each when its last message is acknowledged.
//
// probe pings the server from a process of its own, which does nothing else,
// while a room is fanned out without pause: pongs come from the event loops. What
// the machine adds is measured, too: how late the pings are sent, and how soon
// another server, which is idle, answers at that time.
//
// peers has the same chat job done by servers with other WebSocket libraries,
// which it builds from the module in examples/scale/peers, beside the SDK and the
// bare server, one after the other.
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
	case "inbound-server":
		return runInbound(in, out)
	case "inbound-bare":
		return runBareInbound(in, out)
	case "inbound-client":
		return runFlooder(in, out)
	case "prober":
		return runProber(in, out)
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
	case "latency":
		res, err = d.latency(ctx)
	case "peers":
		res, err = d.peers(ctx)
	case "cluster":
		res, err = d.cluster(ctx)
	case "inbound":
		res, err = d.inbound(ctx)
	case "probe":
		res, err = d.probe(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Mode, err)
	}
	return writeJSON(cfg.JSON, stdout, report{Machine: machine(), Config: cfg, Result: res})
}
