package wire_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/wire"
)

func TestSeal(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte{'x'}, n)
		want := ws.MustCompileFrame(ws.NewTextFrame(payload)) // shortest form, final, unmasked
		require.Equal(t, want, wire.Seal(append(wire.NewFrame(16), payload...)), n)
	}
}

func TestSealReadsBack(t *testing.T) {
	frame := wire.Seal(wire.AppendMessage(wire.NewFrame(512), "message", &hello))
	r := bytes.NewReader(frame)
	h, err := ws.ReadHeader(r)
	require.NoError(t, err)
	require.Equal(t, ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(r.Len())}, h)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, string(serverFrames["message"]), string(rest))
}
