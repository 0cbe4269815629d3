package chat_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/chattest"
)

// TestDisconnectAgainstAuthUnderWay guards invariant 6: who is sent away while
// it is being found out who they are does not get in.
func TestDisconnectAgainstAuthUnderWay(t *testing.T) {
	for _, how := range []string{"Disconnect", "SignOut"} {
		t.Run(how, func(t *testing.T) {
			interleave(t, func(t *testing.T, p *points, out *sync.Map, here, there *chattest.Server) bool {
				n := p.nth
				p.arm(0)
				bob := here.Dial("")
				synctest.Wait()
				p.arm(n)
				bob.Do(map[string]any{"type": "auth", "token": "bob"})
				synctest.Wait()
				if !p.reached() {
					close(p.release)
					return false
				}
				out.Store("bob", true)
				code, end := 4501, func() (int, error) { return there.User("bob").Disconnect(t.Context(), "out") }
				if how == "SignOut" {
					code, end = 4500, func() (int, error) { return there.User("bob").SignOut(t.Context()) }
				}
				_, err := end()
				require.NoError(t, err)
				time.Sleep(2 * time.Second)
				close(p.release)
				time.Sleep(time.Hour)
				require.False(t, here.User("bob").Online())
				if got := bob.CloseCode(); got != 4500 { // refused, where the host had not been asked yet
					require.Equal(t, code, got)
				}
				// Who may come back does.
				out.Delete("bob")
				here.Dial("bob").Join("lobby")
				require.True(t, here.User("bob").Online())
				return true
			})
		})
	}
}

// TestDisconnectAgainstUpgradeUnderWay is the same for a token in the header of
// the upgrade.
func TestDisconnectAgainstUpgradeUnderWay(t *testing.T) {
	interleave(t, func(t *testing.T, p *points, out *sync.Map, here, there *chattest.Server) bool {
		conn, err := here.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET /chat/ws HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer bob\r\n\r\n"))
		require.NoError(t, err)
		go func() {
			for buf := make([]byte, 4096); ; {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				if n >= 2 && buf[n-2] == 0x89 { // a ping: it stays alive
					_, _ = conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0})
				}
			}
		}()
		synctest.Wait()
		if !p.reached() {
			close(p.release)
			return false
		}
		out.Store("bob", true)
		_, err = there.User("bob").Disconnect(t.Context(), "out")
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		close(p.release)
		time.Sleep(time.Hour)
		require.False(t, here.User("bob").Online())
		require.Zero(t, here.Stats().Connections, "point %d", p.nth)
		return true
	})
}

// TestSignOut: one session, or all, of a user, on whichever server, with a code
// that says that they may come back.
func TestSignOut(t *testing.T) {
	together(t, 2, func(t *testing.T, g *group) {
		phone, laptop, tablet := g.srvs[0].Dial("alice"), g.srvs[0].Dial("alice"), g.srvs[1].Dial("alice")
		bob := g.srvs[1].Dial("bob")
		ids := g.srvs[0].User("alice").Sessions() // the latest first
		require.Len(t, ids, 2)
		n, err := g.srvs[1].User("alice").SignOut(t.Context(), ids[1], "no such session")
		require.NoError(t, err)
		require.Zero(t, n, "it is elsewhere")
		require.Equal(t, 4500, phone.CloseCode())
		time.Sleep(3 * time.Second)
		laptop.Barrier()
		tablet.Barrier()
		n, err = g.srvs[0].User("bob").SignOut(t.Context(), ids[0])
		require.NoError(t, err)
		require.Zero(t, n, "another user's")
		time.Sleep(3 * time.Second)
		laptop.Barrier()
		n, err = g.srvs[0].User("alice").SignOut(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, 4500, laptop.CloseCode())
		require.Equal(t, 4500, tablet.CloseCode())
		bob.Barrier()
		g.srvs[0].Dial("alice").Join("r")
	})
}
