package faults

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// node is one server in a process of its own, always at the same address.
type node struct {
	t    testing.TB
	url  string // of the store
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

func startNode(t testing.TB, store string) *node {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &node{t: t, url: store, addr: ln.Addr().String()}
	require.NoError(t, ln.Close())
	n.start()
	t.Cleanup(n.kill)
	return n
}

// start returns when the node listens.
func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), "GABBLE_FAULTS_STORE="+n.url, "GABBLE_FAULTS_ADDR="+n.addr)
	n.cmd.Stderr = &logWriter{t: n.t, prefix: n.addr}
	// It ends when its standard input does, so that none survives its test.
	// (A death signal would be bound to a thread of ours, and those come and go.)
	var err error
	n.in, err = n.cmd.StdinPipe()
	require.NoError(n.t, err)
	out, err := n.cmd.StdoutPipe()
	require.NoError(n.t, err)
	require.NoError(n.t, n.cmd.Start())
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	select {
	case s := <-line:
		require.Equal(n.t, "ready\n", s, "the node has not come up")
	case <-time.After(30 * time.Second):
		n.t.Fatal("the node does not come up")
	}
}

// kill is kill -9.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.in.Close()
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *node) restart() {
	n.kill()
	n.start()
}
