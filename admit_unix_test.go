//go:build linux || darwin

package chat_test

import (
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
)

// TestConnectionsDefaultToWhatDescriptorsAllow: of a hundred files that may be open
// half are for connections, the rest is the host's.
func TestConnectionsDefaultToWhatDescriptorsAllow(t *testing.T) {
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	tight := old
	tight.Cur = 100
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &tight))
	srv := newServer(t, chat.Options{}) // which opens nothing yet
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
	hs := httptest.NewServer(http.StripPrefix("/chat", srv))
	t.Cleanup(func() { _ = srv.Close(); hs.Close() })
	s := &venue{Server: srv, t: t, addr: hs.Listener.Addr().String()}
	s.requireExactly(50, "New")
}
