// Cluster answers the question: how do I run it on many machines? Here the
// machines are processes: two nodes, one Redis, nginx in front of both.
//
//	go run ./examples/cluster
//
// Open the address that it prints in two windows, then kill a node by its pid:
// its clients go on on the other one. The nodes share nothing but the store
// (node.go), and nginx needs nothing but nginx.conf.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := run
	if len(os.Args) > 1 && os.Args[1] == nodeCommand {
		command = runNode
	}
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run starts Redis, the nodes and nginx, each when what it needs is there, and
// ends them in the opposite order when ctx ends or one fails.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "nginx listens on this `address`")
	count := flags.Int("nodes", 2, "start so many nodes")
	redisURL := flags.String("redis", "", "use the Redis at this `URL` instead of starting one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	nginx, err := find("nginx", "nginx-light")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gabble-cluster-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all := newGroup(stdout)
	defer all.stop()

	if *redisURL == "" {
		if *redisURL, err = startRedis(ctx, all, dir); err != nil {
			return err
		}
	}
	var nodes []string
	for i := range *count {
		node, err := startNode(ctx, all, fmt.Sprint("node ", i+1), *redisURL)
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	if err := startNginx(ctx, all, nginx, dir, *addr, nodes); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nOpen http://%s in two windows. Then kill a node by its pid (kill -9) and go on writing.\n\n", *addr)
	select {
	case <-ctx.Done():
		return nil
	case err := <-all.failed:
		return err
	}
}
