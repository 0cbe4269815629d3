//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// config is what the flags say.
type config struct {
	Mode       string        `json:"mode"`
	Door       string        `json:"door"`
	Bare       bool          `json:"bare"`
	Conns      int           `json:"conns"`
	Rooms      int           `json:"rooms"`
	Members    int           `json:"members"`
	Publishers int           `json:"publishers"`
	Window     int           `json:"window"`
	Content    int           `json:"content"`
	Decode     string        `json:"decode"`
	Messages   int           `json:"messages"`
	Stalled    int           `json:"stalled"`
	Trickling  int           `json:"trickling"`
	Slow       int           `json:"slow"`
	Share      float64       `json:"share"`
	Missed     int           `json:"missed"`
	Runs       int           `json:"runs"`
	Warmup     time.Duration `json:"warmup_ns"`
	Duration   time.Duration `json:"duration_ns"`
	Settle     time.Duration `json:"settle_ns"`
	Small      int           `json:"small"`
	Processes  int           `json:"processes"`
	Clients    int           `json:"clients"`
	Store      string        `json:"-"` // may hold a password
	Rate       float64       `json:"rate"`
	Rates      []float64     `json:"rates,omitempty"`
	Kill       bool          `json:"kill"`
	Restart    bool          `json:"restart"`
	Plot       string        `json:"-"`
	JSON       string        `json:"-"`
	CPUProfile string        `json:"-"`
	MemProfile string        `json:"-"`
	peerConfig
}

// modeList names the modes.
const modeList = "idle, fanout, compare, rooms, storm, slow, latency, inbound, probe, peers or cluster"

// inFlight is how many connections are being opened at once: fewer than the
// smallest backlog a listener is likely to have.
const inFlight = 128

func configure(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("scale", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.Mode, "mode", "compare", modeList)
	f.StringVar(&c.Door, "door", "http", "how connections come in: http (net/http) or raw (Server.Serve)")
	f.BoolVar(&c.Bare, "bare", false, "fanout: the bare server instead of the SDK")
	f.IntVar(&c.Conns, "conns", 15000, "idle, rooms, storm, cluster: connections; latency, inbound: the same, 5000 and 1000 unless given")
	f.IntVar(&c.Rooms, "rooms", 150, "idle, rooms, storm, cluster: rooms over which the connections are spread; latency, inbound: the same, 250 and 100 unless given")
	f.IntVar(&c.Members, "members", 10000, "fanout, compare, probe: members of the room; slow: the same, 1000 unless given; latency: members of each room, instead of -conns")
	f.IntVar(&c.Small, "small", 1000, "compare: members of a second, smaller room; 0 none")
	f.IntVar(&c.Publishers, "publishers", 64, "fanout, compare, slow, probe: sessions that publish")
	f.IntVar(&c.Window, "window", 64, "fanout, probe: messages that not all members have yet, in all; cluster: not acknowledged, of each client process")
	f.IntVar(&c.Content, "content", 128, "bytes of content in a message")
	f.StringVar(&c.Decode, "decode", "each", "clients decode each frame, or once what all members get alike, comparing the rest")
	f.IntVar(&c.Messages, "messages", 0, "fanout: stop after so many messages instead of -duration; cluster: send so many to each room, 5 if 0")
	f.IntVar(&c.Missed, "missed", 20, "storm: messages sent to each room while all clients are away")
	f.IntVar(&c.Stalled, "stalled", 1, "slow: members that do not read")
	f.IntVar(&c.Trickling, "trickling", 1, "slow: members that read a few bytes now and then")
	f.IntVar(&c.Slow, "slow", 100, "slow: members that read -share of what they get")
	f.Float64Var(&c.Share, "share", 0.1, "slow: how much of what comes the slow members read")
	f.IntVar(&c.Runs, "runs", 9, "compare, latency, slow, inbound, probe: runs of each, of which the median counts")
	f.DurationVar(&c.Warmup, "warmup", time.Second, "load before measuring")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "load that is measured; slow: 10s unless given")
	f.DurationVar(&c.Settle, "settle", time.Minute, "idle, cluster: time from the ramp to the measurement")
	f.IntVar(&c.Processes, "processes", 0, "cluster: server processes; 0: as many as open files ask for, at least 2")
	f.IntVar(&c.Clients, "clients", 0, "cluster: client processes; 0: as many as open files ask for")
	f.StringVar(&c.Store, "store", "", "cluster: the store that the servers share, redis://… or postgres://…; empty: a redis-server of its own; storm: these or sqlite:FILE; empty: memory, with -restart a SQLite file of its own")
	f.Float64Var(&c.Rate, "rate", 500, "cluster: messages per second while latency is measured; latency: the same, 1000 unless given; slow: 100")
	f.Func("rates", "latency: several rates, with commas, instead of -rate", c.parseRates)
	f.BoolVar(&c.Kill, "kill", false, "cluster: in the end, kill one server while messages are being sent")
	f.BoolVar(&c.Restart, "restart", false, "storm: kill the server and start another one at the same address, rather than only cutting the connections")
	f.StringVar(&c.Plot, "plot", "", "idle, latency: write SVG plots into this directory; idle then connects in steps, so that the garbage collector works at other moments: take the figure per connection from a run without")
	f.StringVar(&c.JSON, "json", "", "write the result to this file as JSON, - for standard output")
	f.StringVar(&c.CPUProfile, "cpuprofile", "", "write a CPU profile of the server to this file: under load, inbound: of the transport by itself, idle: during the ramp, cluster: of the first server, a file for each phase")
	f.StringVar(&c.MemProfile, "memprofile", "", "write a heap profile of the server to this file, idle, cluster: after settling")
	c.peerFlags(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err := c.preset(f); err != nil {
		return nil, err
	}
	return c, c.check()
}

func (c *config) check() error {
	limit := openFiles()
	sockets := 0
	switch c.Mode {
	case "idle", "rooms", "storm", "inbound":
		sockets = c.Conns
		if c.Rooms < 1 || c.Rooms > c.Conns {
			return fmt.Errorf("-rooms %d: not between 1 and -conns %d", c.Rooms, c.Conns)
		}
	case "fanout", "compare", "slow", "probe":
		sockets = c.Members + c.Publishers
		if c.Publishers < 1 || c.Members < 1 {
			return fmt.Errorf("-members %d, -publishers %d: at least one of each", c.Members, c.Publishers)
		}
		if c.Mode == "slow" {
			if err := c.checkSlow(); err != nil {
				return err
			}
		}
	case "latency":
		sockets = c.Conns
		if err := c.checkLatency(); err != nil {
			return err
		}
	case "peers":
		var err error
		if sockets, err = c.checkPeers(); err != nil {
			return err
		}
	case "cluster":
		if err := c.checkCluster(limit); err != nil {
			return err
		}
		sockets = c.perProcess()
	default:
		return fmt.Errorf("-mode %q: not %s", c.Mode, modeList)
	}
	if c.Door != "http" && c.Door != "raw" {
		return fmt.Errorf("-door %q: not http or raw", c.Door)
	}
	if c.Decode != "each" && c.Decode != "once" {
		return fmt.Errorf("-decode %q: not each or once", c.Decode)
	}
	if c.Window < 1 || c.Window > maxWindow {
		return fmt.Errorf("-window %d: not between 1 and %d", c.Window, maxWindow)
	}
	if c.Store != "" && (storeKind(c.Store) == "" || c.Mode != "storm" && storeKind(c.Store) == "sqlite") {
		return errors.New("-store: not redis://… or postgres://…, for storm not sqlite:FILE either")
	}
	if c.Runs < 1 || c.Content < 1 {
		return fmt.Errorf("-runs %d, -content %d: at least 1", c.Runs, c.Content)
	}
	if sockets > room(limit) {
		return fmt.Errorf("%d connections need as many open files in each process; the limit is %d (ulimit -n)", sockets, limit)
	}
	return nil
}

// room is how many connections a process has that may have so many files: as many
// as the SDK lets in.
func room(files int) int { return files - max(64, files/50) }

// maxProcesses bounds how many servers, and how many clients, are started.
const maxProcesses = 256

// openFiles is how many files a process may have open.
func openFiles() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return math.MaxInt
	}
	return int(min(lim.Cur, math.MaxInt))
}
