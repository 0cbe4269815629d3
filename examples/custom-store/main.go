// Custom-store answers the question: how do I keep rooms in the database that I
// have? Here that is a directory with a file of JSON lines per room, in store.go:
// a log of records, which knows nothing of messages; what those are, and what an
// edit or a delete does to them, is added by chat.FromRecords. The proof is in
// main_test.go, a few lines that call storage/storagetest.
//
//	go run ./examples/custom-store -dir rooms
//
// Write something as it says, look into the directory, stop the program, start
// it again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "custom-store:", err)
		os.Exit(1)
	}
}

// run serves a chat whose rooms live in a directory, until ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("custom-store", flag.ContinueOnError)
	flags.SetOutput(stdout)
	addr := flags.String("addr", "127.0.0.1:8080", "listen on this `address`")
	dir := flags.String("dir", "rooms", "keep rooms in this `directory`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	store, err := Open(*dir)
	if err != nil {
		return err
	}
	srv, err := chat.New(&chat.Options{Store: chat.FromRecords(store), Authenticate: auth.Anonymous()})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return errors.Join(err, srv.Close())
	}
	if _, err := srv.Room("lobby").Create(ctx, chat.RoomInfo{Kind: chat.RoomPublic}); err != nil && !errors.Is(err, chat.ErrConflict) {
		return errors.Join(err, ln.Close(), srv.Close())
	}
	messages := "http://" + ln.Addr().String() + "/chat/rooms/lobby/messages"
	fmt.Fprintf(stdout, "write:\tcurl -d '{\"content\":\"hello\"}' -H 'Content-Type: application/json' %s\nread:\tcurl %[1]s\n", messages)

	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv))
	web := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- errors.Join(srv.Shutdown(deadline), web.Shutdown(deadline))
	})
	if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, srv.Close())
	}
	return <-stopped
}
