//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

// Every library does every job, and so do the SDK and the bare server.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the other libraries' servers")
	}
	t.Parallel()
	r := result[peerResult](t, "-mode peers -runs 1 -duration 100ms -warmup 20ms -small 0 -members 20 -window 8 -publishers 8 -rooms 3 -conns 40 -rate 100 -settle 50ms")
	require.Len(t, r.Tables, 2+2+1+1)
	for _, table := range r.Tables {
		rivals := len(peerLibraries()) + 2
		if table.Load == "" {
			rivals++
		}
		require.Len(t, table.Rows, rivals, table.Case)
		for _, row := range table.Rows {
			name := row.Server + ": " + table.Case + ", " + table.Load
			require.Empty(t, row.Why, name)
			require.Equal(t, 1, row.Runs, name)
			if table.Load == "" {
				require.Positive(t, row.RSS, name)
				require.Positive(t, row.Ramp.ServerUS, name)
				require.GreaterOrEqual(t, row.FDs, 1.0, name)
				continue
			}
			require.Positive(t, row.Acked, name)
			require.Greater(t, row.Received, row.Acked, name)
			require.Positive(t, row.ServerUS, name)
			require.Positive(t, row.Ack.P50, name)
			require.Positive(t, row.Each.P50+row.Last.P50, name)
		}
	}
}

// What a server does to its clients is reported, and ends nothing.
func TestPeersThatFail(t *testing.T) {
	t.Parallel()
	addr, stop := rude(t)
	defer stop()
	bin := filepath.Join(t.TempDir(), "peers")
	require.NoError(t, os.WriteFile(bin, fmt.Appendf(nil, "#!/bin/sh\necho '{\"addr\":\"%s\"}'\nexec cat\n", addr), 0o755))
	r := result[peerResult](t, "-mode peers -jobs fanout -peers gws -peers-bin "+bin+" -runs 3 -duration 50ms -warmup 0s -small 0 -members 6 -window 4 -publishers 4")
	require.Len(t, r.Tables, 2)
	for _, table := range r.Tables {
		require.Equal(t, 3, table.Rows[0].Runs)
		gws := table.Rows[2]
		require.Equal(t, "gws", gws.Server)
		require.Zero(t, gws.Runs)
		require.Equal(t, givenUp, gws.Failed)
		require.GreaterOrEqual(t, gws.Harm.Disconnected, givenUp)
		require.Contains(t, gws.Why, "closed by the server")
	}
}

// rude is a server that hangs up on whoever says something.
func rude(t *testing.T) (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				rudely(c)
				_ = c.Close()
			})
		}
	})
	return ln.Addr().String(), func() {
		_ = ln.Close()
		running.Wait()
	}
}

func rudely(c net.Conn) {
	r := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = r.ReadString('\n'); err != nil {
			return
		}
	}
	_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + wsAccept + "\r\n\r\n"))
	_, _ = c.Write(wire.Seal(wire.AppendWelcome(wire.NewFrame(512), &wire.Welcome{Session: "x"})))
	var buf []byte
	for chunk := make([]byte, 4096); ; {
		n, err := r.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		_, payload, used := takeClientFrame(buf)
		if used == 0 {
			continue
		}
		var cmd wire.Command
		if cmd.Decode(payload) != nil || cmd.Type != wire.TypeJoin {
			return
		}
		buf = buf[used:]
		_, _ = c.Write(wire.Seal(wire.AppendJoined(wire.NewFrame(128), &wire.Joined{Ref: cmd.Ref, Room: cmd.Room, Epoch: "1"})))
	}
}

func TestPeerMistakesAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"-mode peers -peers gorilla,socketio": "socketio",
		"-mode peers -jobs tea":               "tea",
		"-mode peers -duration 0s":            "-duration",
		"-mode peers -rooms 0":                "-rooms",
		"-mode peers -conns 2000000000":       "ulimit",
	} {
		_, err := configure(strings.Fields(args), &shared{})
		require.ErrorContains(t, err, want, args)
	}
}

func TestMembersOfAnObject(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                 "",
		`{"a":1}`:                            "a=1;",
		`{"a":"}\"{","b":{"c":["]"]},"d":7}`: `a="}\"{";b={"c":["]"]};d=7;`,
		`{"a":"\\","b":[]}`:                  `a="\\";b=[];`,
	} {
		got := ""
		require.NoError(t, members([]byte(text), func(name, value []byte) error {
			got += string(name) + "=" + string(value) + ";"
			return nil
		}), text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{``, `{`, `[]`, `{"a"}`, `{"a":}`, `{"a":1`, `{"a":"}`, `{"a":{}`, `{"a":1}}`, `{"a":[1}`, `{a:1}`} {
		require.Error(t, members([]byte(text), func(_, _ []byte) error { return nil }), text)
	}
}

// A message may come in several frames, with others between them.
func TestFragments(t *testing.T) {
	cl := &client{}
	_, err := cl.abroad(foreignArgs{})
	require.NoError(t, err)
	c := &conn{}
	b := []byte{0x01, 2, 'a', 'b', 0x89, 0, 0x00, 1, 'c', 0x80, 1, 'd', 0x81, 1, 'e'}
	var got []string
	for len(b) > 0 {
		opcode, payload, n, err := cl.nextFrame(c, b)
		require.NoError(t, err)
		require.Positive(t, n)
		got = append(got, fmt.Sprintf("%#x %s", opcode, payload))
		b = b[n:]
	}
	require.Equal(t, []string{"0x10 ", "0x9 ", "0x10 ", "0x1 abcd", "0x1 e"}, got)
	_, _, _, err = cl.nextFrame(c, []byte{0x80, 1, 'x'})
	require.Error(t, err, "the rest of nothing")
	_, _, n, err := cl.nextFrame(c, []byte{0x01, 5, 'x'})
	require.NoError(t, err)
	require.Zero(t, n)
}
