//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

func message(rev int64) []byte {
	return wire.AppendMessage(nil, "message", &wire.Message{
		ID: "01KAPT3H5VQ3K8M2N4P6R8T0W1", Room: "room-0", Seq: rev, Rev: rev, FirstRev: rev,
		User: wire.User{ID: "user-1", Name: "User 1"}, Kind: "regular", Content: filler(128), Nonce: "1", CreatedAt: time.Now(),
	})
}

func joinedAt(head int64, epoch string) []byte {
	return wire.AppendJoined(nil, &wire.Joined{Ref: "j", Room: "room-0", Epoch: epoch, Head: head})
}

// feed gives a fresh cursor the frames and returns the first error.
func feed(frames ...[]byte) (c cursor, err error) {
	for _, f := range frames {
		if _, _, err = c.read(f); err != nil {
			return c, err
		}
	}
	return c, nil
}

func TestCursorFollows(t *testing.T) {
	c, err := feed(joinedAt(4, "e"), message(5), message(6), wire.AppendRoom(nil, &wire.Room{ID: "room-0", Rev: 7}), message(8),
		wire.AppendPresence(nil, &wire.Presence{Room: "room-0", Online: 2}), wire.AppendSynced(nil, "room-0", "e", 8))
	require.NoError(t, err)
	require.EqualValues(t, 8, c.rev)
}

// Whatever is not the next change must fail the run: this is what makes the
// figures worth anything.
func TestCursorFindsWhatIsNotInOrder(t *testing.T) {
	for name, frames := range map[string][][]byte{
		"dropped":             {joinedAt(4, "e"), message(5), message(7)},
		"first one dropped":   {joinedAt(4, "e"), message(6)},
		"doubled":             {joinedAt(4, "e"), message(5), message(5)},
		"reordered":           {joinedAt(4, "e"), message(6), message(5)},
		"old":                 {joinedAt(4, "e"), message(4)},
		"without a position":  {joinedAt(4, "e"), []byte(`{"type":"message","seq":5}`)},
		"before joined":       {message(1)},
		"presence before it":  {wire.AppendPresence(nil, &wire.Presence{Room: "room-0"})},
		"joined twice":        {joinedAt(4, "e"), joinedAt(4, "e")},
		"synced too early":    {joinedAt(4, "e"), message(5), wire.AppendSynced(nil, "room-0", "e", 6)},
		"reset":               {joinedAt(4, "e"), wire.AppendReset(nil, &wire.Reset{Room: "room-0", Epoch: "e", Head: 9})},
		"left":                {joinedAt(4, "e"), wire.AppendLeft(nil, "room-0", "forbidden")},
		"reconnect":           {wire.AppendReconnect(nil, 1, "restart")},
		"error":               {wire.AppendError(nil, &wire.Error{Code: "internal", Message: "no"})},
		"unknown":             {[]byte(`{"type":"surprise"}`)},
		"not JSON":            {joinedAt(4, "e"), message(5)[:40]},
		"two objects":         {joinedAt(4, "e"), append(message(5), '{', '}')},
		"a page nobody asked": {wire.AppendJoined(nil, &wire.Joined{Room: "room-0", Epoch: "e", Head: 4, Messages: []wire.Message{{Rev: 4}}})},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := feed(frames...)
			require.Error(t, err)
		})
	}
}

func TestCursorResumes(t *testing.T) {
	back := func(joined []byte) error {
		c, err := feed(joinedAt(4, "e"), message(5))
		require.NoError(t, err)
		c.behind = true
		for _, f := range [][]byte{joined, message(6), message(7), wire.AppendSynced(nil, "room-0", "e", 7)} {
			if _, _, err := c.read(f); err != nil {
				return err
			}
		}
		require.False(t, c.behind)
		return nil
	}
	require.NoError(t, back(joinedAt(7, "e")))
	require.NoError(t, back(joinedAt(7, "f")), "it goes on under another epoch")
	require.Error(t, back(joinedAt(3, "e")), "a log that has shrunk")
	require.Error(t, back(wire.AppendJoined(nil, &wire.Joined{Room: "room-0", Epoch: "e", Head: 7, Reset: true})))
}

// What is not decoded again has to be the same to the last byte, and next.
func TestDecodedOnce(t *testing.T) {
	d, five := new(decoded), message(5)
	require.Nil(t, d.find(5, five))
	d.keep(5, append([]byte(nil), five...))
	require.EqualValues(t, 5, d.find(5, five).Rev)
	require.Equal(t, "1", string(d.find(5, five).Nonce))
	require.Nil(t, d.find(6, five), "doubled, or out of order")
	require.Nil(t, d.find(5, five[:len(five)-1]))
	for i := range five {
		other := append([]byte(nil), five...)
		other[i]++
		require.Nil(t, d.find(5, other))
	}
	d.keep(5+maxWindow, message(5+maxWindow))
	require.Nil(t, d.find(5, five), "long ago")
}

// Every room has as many members on each server as on the next, or one more,
// and so have the servers.
func TestMembersAreSpread(t *testing.T) {
	const conns, rooms, servers = 1000, 50, 6
	var all [servers]int
	var in [rooms][servers]int
	for n := range conns {
		s := serverOf(n, rooms, servers)
		all[s]++
		in[n%rooms][s]++
	}
	for s := range servers {
		require.InDelta(t, conns/servers, all[s], rooms%servers+1)
		for room := range rooms {
			require.InDelta(t, conns/rooms/servers, in[room][s], 1)
		}
	}
}

// Wherever a connection comes from, it is this machine, and no address has more
// connections than it has ports.
func TestSources(t *testing.T) {
	of := make(map[[4]byte]int)
	for n := range 1_000_000 {
		of[source(n)]++
	}
	for addr, n := range of {
		require.EqualValues(t, 127, addr[0])
		require.NotEqual(t, [4]byte{127, 0, 0, 1}, addr)
		require.LessOrEqual(t, n, connsPerAddr)
	}
}

// What waits for everybody must see who lacks something and who has too much.
func TestAwaitFindsWhoLacksWhat(t *testing.T) {
	cl := &client{dying: -1, open: 3, delivered: 6, conns: []conn{
		{index: 0, room: 0, got: 2, phase: phaseOpen}, {index: 1, room: 1, got: 3, phase: phaseOpen}, {index: 2, room: 0, got: 1, phase: phaseOpen},
	}}
	res, err := cl.await(awaitArgs{Want: []int32{2, 2}}, func(int) {})
	require.NoError(t, err)
	r := res.(awaitResult)
	require.EqualValues(t, 6, r.Expected)
	require.Equal(t, 2, r.Wrong)
	require.Contains(t, r.Examples[0], "user-1 ")
	require.Contains(t, r.Examples[1], "user-2 ")
}

// Frames come in pieces of any size.
func TestFramesInPieces(t *testing.T) {
	var stream []byte
	for rev := range int64(3) {
		stream = append(stream, wire.Seal(append(wire.NewFrame(0), message(rev+1)...))...)
	}
	stream = append(stream, wire.Seal(append(wire.NewFrame(0), `{}`...))...)
	stream = append(stream, wire.Seal(append(wire.NewFrame(0), fmt.Sprintf(`{"a":"%s"}`, filler(70_000))...))...)
	for _, size := range []int{1, 2, 7, 100, 4096, len(stream)} {
		var rest []byte
		var payloads []int
		for at := 0; at < len(stream); at += size {
			rest = append(rest, stream[at:min(at+size, len(stream))]...)
			for {
				opcode, payload, n, err := nextFrame(rest)
				require.NoError(t, err)
				if n == 0 {
					break
				}
				require.EqualValues(t, opText, opcode)
				payloads = append(payloads, len(payload))
				rest = rest[n:]
			}
		}
		require.Empty(t, rest)
		m := len(message(1))
		require.Equal(t, []int{m, m, m, 2, 70_008}, payloads)
	}
}

func TestFramesThatAServerMustNotSend(t *testing.T) {
	for name, b := range map[string][]byte{
		"masked":    appendFrame(nil, opText, []byte("{}")),
		"fragment":  {0x01, 2, '{', '}'},
		"reserved":  {0xc1, 2, '{', '}'},
		"very long": {0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		_, _, _, err := nextFrame(b)
		require.Error(t, err, name)
	}
}

func TestClientFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 3000} {
		text := []byte(filler(n))
		b := appendFrame(nil, opText, text)
		for cut := range b {
			_, _, taken := takeClientFrame(append([]byte(nil), b[:cut]...))
			require.Zero(t, taken)
		}
		opcode, payload, taken := takeClientFrame(b)
		require.EqualValues(t, opText, opcode)
		require.Equal(t, len(b), taken)
		require.Equal(t, string(text), string(payload))
	}
}

func BenchmarkRead(b *testing.B) {
	var frames [1024][]byte
	for i := range frames {
		frames[i] = message(int64(i + 1))
	}
	b.SetBytes(int64(len(frames[0])))
	var c cursor
	for i := 0; b.Loop(); i++ {
		if i%len(frames) == 0 {
			c = cursor{joined: true}
		}
		if _, _, err := c.read(frames[i%len(frames)]); err != nil {
			b.Fatal(err)
		}
	}
}
