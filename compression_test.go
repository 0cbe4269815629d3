package chat_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// deflater is a client that offers permessage-deflate, in the hands of another
// implementation of it.
type deflater struct {
	t       *testing.T
	conn    net.Conn
	r       io.Reader
	granted []wsflate.Parameters
}

// squeezed is a frame as the deflater got it.
type squeezed struct {
	Type     string
	Ref      string
	Rev      int64
	Epoch    string
	Head     int64
	Content  string
	Messages []struct{ Content string }

	packed bool
	size   int // on the wire
}

func (s *venue) deflater(token string) *deflater {
	s.t.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	d := ws.Dialer{Protocols: []string{"gabble.v1.json"}, Header: ws.HandshakeHeaderHTTP(h)}
	offer := wsflate.Parameters{ClientMaxWindowBits: 1}
	d.Extensions = append(d.Extensions, offer.Option())
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	conn, br, hs, err := d.Dial(ctx, "ws://"+s.addr+s.path)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	c := &deflater{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	if br != nil {
		c.r = io.MultiReader(br, conn)
	}
	for _, x := range hs.Extensions {
		var p wsflate.Parameters
		require.NoError(s.t, p.Parse(x))
		c.granted = append(c.granted, p)
	}
	return c
}

func (c *deflater) do(command map[string]any) {
	c.t.Helper()
	b, err := json.Marshal(command)
	require.NoError(c.t, err)
	f := ws.NewTextFrame(b)
	if len(c.granted) > 0 {
		f, err = wsflate.CompressFrame(f)
		require.NoError(c.t, err)
	}
	require.NoError(c.t, c.conn.SetWriteDeadline(time.Now().Add(time.Minute)))
	require.NoError(c.t, ws.WriteFrame(c.conn, ws.MaskFrame(f)))
}

// expect reads up to a frame of the type and returns it.
func (c *deflater) expect(typ string) squeezed {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	for {
		f, err := ws.ReadFrame(c.r)
		require.NoError(c.t, err)
		require.False(c.t, f.Header.OpCode == ws.OpClose, "closed: %s", f.Payload)
		if f.Header.OpCode != ws.OpText {
			continue
		}
		var got squeezed
		got.packed, err = wsflate.IsCompressed(f.Header)
		require.NoError(c.t, err)
		got.size = len(f.Payload)
		if got.packed {
			f, err = wsflate.DecompressFrame(f)
			require.NoError(c.t, err)
		}
		require.NoError(c.t, json.Unmarshal(f.Payload, &got))
		if got.Type == typ {
			return got
		}
	}
}

// In a room of both kinds everybody gets every change, and whoever has agreed on
// compression gets it compressed: live, in pages, and on resuming.
func TestCompression(t *testing.T) {
	long := strings.Repeat("The same words, over and over. ", 30)
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{Compression: true})
		alice, bob := s.deflater("alice"), s.dial("bob")
		require.Equal(t, []wsflate.Parameters{{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}, alice.granted)
		bob.Join("general")
		alice.do(map[string]any{"type": "join", "room": "general", "ref": "1"})
		epoch := alice.expect("joined").Epoch

		alice.do(map[string]any{"type": "message", "room": "general", "content": "from alice: " + long, "ref": "2"})
		first := alice.expect("message")
		require.Contains(t, first.Content, "from alice: ")
		require.True(t, first.packed)
		require.Less(t, first.size, len(long)/2)
		require.Equal(t, "from alice: "+long, bob.Expect("message").Message.Content)
		rev := first.Rev
		for range 20 {
			bob.Send("general", long)
			m := alice.expect("message")
			require.Equal(t, long, m.Content)
			require.True(t, m.packed)
			rev++
			require.Equal(t, rev, m.Rev)
		}
		bob.Send("general", "hi")
		small := alice.expect("message")
		require.Equal(t, "hi", small.Content)

		alice.do(map[string]any{"type": "history", "room": "general", "limit": 10, "ref": "3"})
		page := alice.expect("history")
		require.Len(t, page.Messages, 10)
		require.True(t, page.packed)
		require.Less(t, page.size, 4<<10)

		again := s.deflater("alice")
		again.do(map[string]any{"type": "join", "room": "general", "after": first.Rev, "epoch": epoch})
		again.expect("joined")
		for range 20 {
			m := again.expect("message")
			require.Equal(t, long, m.Content)
			require.True(t, m.packed)
		}
		require.Equal(t, "hi", again.expect("message").Content)
		again.expect("synced")
	})
}

// Nobody inflates for strangers, nor where the host has not asked for it.
func TestCompressionIsForTheKnown(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		on, off := d.open(t, chat.Options{Compression: true}), d.open(t, chat.Options{})
		require.Empty(t, off.deflater("alice").granted)
		stranger := on.deflater("")
		require.Empty(t, stranger.granted)
		stranger.do(map[string]any{"type": "auth", "token": "carol"})
		require.False(t, stranger.expect("welcome").packed)
	})
}
