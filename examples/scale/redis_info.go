//go:build linux

package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// redisInfo is what one Redis says of itself.
type redisInfo struct {
	Memory   int64              // bytes in use
	RSS      int64              // bytes that the system has given it
	CPU      int64              // microseconds
	Commands int64              // those within scripts included
	In, Out  int64              // bytes over the network
	By       map[string]command // by name
}

// command is how often a command has run and how long in all.
type command struct {
	Name  string  `json:"name"`
	Calls int64   `json:"calls"`
	Micro float64 `json:"us"`
}

// redisMeter reads INFO. A nil one reads nothing: the store is no single Redis.
type redisMeter struct{ client *goredis.Client }

func newRedisMeter(url string) *redisMeter {
	o, err := goredis.ParseURL(url)
	if err != nil {
		return nil
	}
	return &redisMeter{goredis.NewClient(o)}
}

func (m *redisMeter) close() {
	if m != nil {
		_ = m.client.Close()
	}
}

func (m *redisMeter) read(ctx context.Context) (r redisInfo, err error) {
	if m == nil {
		return r, nil
	}
	text, err := m.client.Info(ctx, "everything").Result()
	if err != nil {
		return r, err
	}
	r.By = make(map[string]command)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "used_memory":
			r.Memory = n
		case "used_memory_rss":
			r.RSS = n
		case "total_commands_processed":
			r.Commands = n
		case "total_net_input_bytes":
			r.In = n
		case "total_net_output_bytes":
			r.Out = n
		case "used_cpu_user", "used_cpu_sys":
			s, _ := strconv.ParseFloat(value, 64)
			r.CPU += int64(s * 1e6)
		}
		if name, ok := strings.CutPrefix(key, "cmdstat_"); ok {
			r.By[name] = parseCommand(name, value)
		}
	}
	return r, nil
}

// parseCommand reads "calls=12,usec=34,usec_per_call=2.83,…".
func parseCommand(name, text string) command {
	c := command{Name: name}
	for _, field := range strings.Split(text, ",") {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "calls":
			c.Calls, _ = strconv.ParseInt(value, 10, 64)
		case "usec":
			c.Micro, _ = strconv.ParseFloat(value, 64)
		}
	}
	return c
}

// since returns the commands that have been run since an earlier look, the
// costliest first, at most n.
func (r redisInfo) since(before redisInfo, n int) []command {
	var list []command
	for name, c := range r.By {
		b := before.By[name]
		if c.Calls > b.Calls {
			list = append(list, command{name, c.Calls - b.Calls, c.Micro - b.Micro})
		}
	}
	slices.SortFunc(list, func(a, b command) int { return int(b.Micro - a.Micro) })
	return list[:min(n, len(list))]
}
