// Peers serves one and the same chat job with other WebSocket libraries, each
// used as its own documentation advises. examples/scale -mode peers builds it,
// starts it and measures it beside the SDK:
//
//	go run ./examples/scale -mode peers
//
// By itself it says where it serves in one line of JSON, {"addr": "..."}, and
// ends when its standard input does. PEERS_KEY holds the key of the tokens, at
// least 32 bytes in base64.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat/examples/scale/peers/job"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("PEERS_KEY"), os.Stdin, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// peer is a server at work.
type peer struct {
	addr  string
	close func() error // ends all connections and returns what went wrong
}

// opener starts a server at the address for those whom the door lets in.
type opener func(addr string, d *job.Door) (*peer, error)

func libraries() map[string]opener {
	return map[string]opener{
		"gorilla": gorillaServer, "coder": coderServer, "gws": gwsServer,
		"nbio": nbioServer, "melody": melodyServer, "centrifuge": centrifugeServer,
	}
}

func names() []string {
	var list []string
	for name := range libraries() {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func run(args []string, key string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	lib := f.String("lib", "", strings.Join(names(), ", "))
	addr := f.String("addr", "127.0.0.1:0", "where to listen")
	if err := f.Parse(args); err != nil {
		return err
	}
	open := libraries()[*lib]
	if open == nil {
		return fmt.Errorf("-lib %q: not one of %s", *lib, strings.Join(names(), ", "))
	}
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return fmt.Errorf("PEERS_KEY: %w", err)
	}
	door, err := job.NewDoor(secret)
	if err != nil {
		return fmt.Errorf("PEERS_KEY: %w", err)
	}
	p, err := open(*addr, door)
	if err != nil {
		return fmt.Errorf("%s: %w", *lib, err)
	}
	err = json.NewEncoder(out).Encode(map[string]string{"addr": p.addr})
	_, readErr := io.Copy(io.Discard, in)
	return errors.Join(err, readErr, p.close())
}

// overHTTP serves a handler with net/http. End ends the connections, which
// net/http knows nothing of.
func overHTTP(addr string, h http.Handler, end func() error) (*peer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	mux := http.NewServeMux()
	mux.Handle(job.Path, h)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- web.Serve(ln) }()
	return &peer{ln.Addr().String(), func() error {
		err := errors.Join(web.Close(), end())
		if e := <-done; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}}, nil
}
