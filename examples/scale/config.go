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
	Kill       bool          `json:"kill"`
	JSON       string        `json:"-"`
	CPUProfile string        `json:"-"`
	MemProfile string        `json:"-"`
}

// inFlight is how many connections are being opened at once: fewer than the
// smallest backlog a listener is likely to have.
const inFlight = 128

func configure(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	f := flag.NewFlagSet("scale", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.Mode, "mode", "compare", "idle, fanout, compare, rooms, storm, slow or cluster")
	f.StringVar(&c.Door, "door", "http", "how connections come in: http (net/http) or raw (Server.Serve)")
	f.BoolVar(&c.Bare, "bare", false, "fanout: the bare server instead of the SDK")
	f.IntVar(&c.Conns, "conns", 15000, "idle, rooms, storm, cluster: connections")
	f.IntVar(&c.Rooms, "rooms", 150, "idle, rooms, storm, cluster: rooms over which the connections are spread")
	f.IntVar(&c.Members, "members", 10000, "fanout, compare, slow: members of the room")
	f.IntVar(&c.Small, "small", 1000, "compare: members of a second, smaller room; 0 none")
	f.IntVar(&c.Publishers, "publishers", 64, "fanout, compare, slow: sessions that publish")
	f.IntVar(&c.Window, "window", 64, "fanout: messages that not all members have yet, in all; cluster: not acknowledged, of each client process")
	f.IntVar(&c.Content, "content", 128, "bytes of content in a message")
	f.StringVar(&c.Decode, "decode", "each", "clients decode each frame, or once what all members get alike, comparing the rest")
	f.IntVar(&c.Messages, "messages", 0, "fanout: stop after so many messages instead of -duration; cluster: send so many to each room, 5 if 0")
	f.IntVar(&c.Missed, "missed", 20, "storm: messages sent to each room while all clients are away")
	f.IntVar(&c.Stalled, "stalled", 20, "slow: members that do not read")
	f.IntVar(&c.Runs, "runs", 5, "compare: runs of each, of which the median counts")
	f.DurationVar(&c.Warmup, "warmup", time.Second, "load before measuring")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "load that is measured")
	f.DurationVar(&c.Settle, "settle", time.Minute, "idle, cluster: time from the ramp to the measurement")
	f.IntVar(&c.Processes, "processes", 0, "cluster: server processes; 0: as many as open files ask for, at least 2")
	f.IntVar(&c.Clients, "clients", 0, "cluster: client processes; 0: as many as open files ask for")
	f.StringVar(&c.Store, "store", "", "cluster: the store that the servers share, redis://… or postgres://…; empty: a redis-server of its own")
	f.Float64Var(&c.Rate, "rate", 500, "cluster: messages per second while latency is measured")
	f.BoolVar(&c.Kill, "kill", false, "cluster: in the end, kill one server while messages are being sent")
	f.StringVar(&c.JSON, "json", "", "write the result to this file as JSON, - for standard output")
	f.StringVar(&c.CPUProfile, "cpuprofile", "", "write a CPU profile of the server to this file: under load, idle: during the ramp, cluster: of the first server, a file for each phase")
	f.StringVar(&c.MemProfile, "memprofile", "", "write a heap profile of the server to this file, idle, cluster: after settling")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, c.check()
}

func (c *config) check() error {
	limit := openFiles()
	sockets := 0
	switch c.Mode {
	case "idle", "rooms", "storm":
		sockets = c.Conns
		if c.Rooms < 1 || c.Rooms > c.Conns {
			return fmt.Errorf("-rooms %d: not between 1 and -conns %d", c.Rooms, c.Conns)
		}
	case "fanout", "compare", "slow":
		sockets = c.Members + c.Publishers
		if c.Publishers < 1 || c.Members < 1 {
			return fmt.Errorf("-members %d, -publishers %d: at least one of each", c.Members, c.Publishers)
		}
	case "cluster":
		if err := c.checkCluster(limit); err != nil {
			return err
		}
		sockets = c.perProcess()
	default:
		return fmt.Errorf("-mode %q: not idle, fanout, compare, rooms, storm, slow or cluster", c.Mode)
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
	if c.Mode == "slow" && c.Stalled >= c.Members {
		return fmt.Errorf("-stalled %d: nobody of -members %d is left to read", c.Stalled, c.Members)
	}
	if c.Runs < 1 || c.Content < 1 {
		return fmt.Errorf("-runs %d, -content %d: at least 1", c.Runs, c.Content)
	}
	if sockets+spareFiles > limit {
		return fmt.Errorf("%d connections need as many open files in each process; the limit is %d (ulimit -n)", sockets, limit)
	}
	return nil
}

// spareFiles is how many files a process has open beside its connections.
const spareFiles = 64

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

// checkCluster also settles how many processes there are.
func (c *config) checkCluster(limit int) error {
	if c.Conns < 1 || c.Processes < 0 || c.Clients < 0 || c.Rate <= 0 || c.Messages < 0 {
		return fmt.Errorf("-conns %d, -processes %d, -clients %d, -rate %v, -messages %d: too few", c.Conns, c.Processes, c.Clients, c.Rate, c.Messages)
	}
	if c.Store != "" && storeKind(c.Store) == "" {
		return errors.New("-store: not redis://… or postgres://…")
	}
	if c.Messages == 0 {
		c.Messages = 5
	}
	need := 1 + (c.Conns-1)/max(limit-spareFiles, 1)
	if c.Processes == 0 {
		c.Processes = max(need, 2)
		if c.Kill {
			c.Processes++ // the others take in what one leaves
		}
	}
	if c.Clients == 0 {
		c.Clients = need
	}
	if c.Kill && c.Processes < 2 {
		return fmt.Errorf("-kill: -processes %d leaves nobody to go on with", c.Processes)
	}
	if c.Processes > maxProcesses || c.Clients > maxProcesses {
		return fmt.Errorf("-processes %d, -clients %d: at most %d of each; raise the limit on open files (ulimit -n)", c.Processes, c.Clients, maxProcesses)
	}
	if least := max(c.Processes, c.Clients); c.Rooms < 1 || c.Conns/c.Rooms < least {
		return fmt.Errorf("-rooms %d: -conns %d do not give each room a member on each of %d processes", c.Rooms, c.Conns, least)
	}
	return nil
}

// perProcess is how many connections the fullest process of a cluster has.
func (c *config) perProcess() int {
	servers := c.Processes
	if c.Kill {
		servers--
	}
	// The rooms that have a member more than others are spread, too.
	return max((c.Conns+servers-1)/servers+c.Rooms%c.Processes, (c.Conns+c.Clients-1)/c.Clients)
}
