package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/storage/memory"
)

// readmeLocation is what the README tells people to write into their nginx.conf.
func readmeLocation(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	m := regexp.MustCompile("(?s)<!-- nginx -->\n```nginx\n(.*?)```\n").FindSubmatch(readme)
	require.NotNil(t, m)
	return string(m[1])
}

// behindNginx runs a chat with nginx in front, with the lines of a location.
func behindNginx(t *testing.T, location string) (addr string, ips <-chan netip.Addr) {
	t.Helper()
	need(t)
	nginx, err := find("nginx", "nginx-light")
	require.NoError(t, err)
	seen := make(chan netip.Addr, 100)
	srv, err := chat.New(&chat.Options{
		Store: memory.New(), Authenticate: auth.Anonymous(), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Middleware: []chat.Middleware{func(next chat.Handler) chat.Handler {
			return func(ctx context.Context, cmd *chat.Command) error {
				if cmd.Type == chat.CmdConnect {
					seen <- cmd.RemoteIP
				}
				return next(ctx, cmd)
			}
		}},
	})
	require.NoError(t, err)
	web := httptest.NewServer(http.StripPrefix("/chat", srv))
	t.Cleanup(func() { _ = srv.Close(); web.Close() })

	dir, addr := t.TempDir(), freeAddr(t)
	conf := filepath.Join(dir, "nginx.conf")
	location = strings.Replace(location, "http://127.0.0.1:8080", web.URL, 1)
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen %[2]s; set_real_ip_from 127.0.0.0/8; real_ip_header X-Test-Client; %[3]s }
}`, dir, addr, location), 0o600))
	cmd := exec.Command(nginx, "-p", dir, "-c", conf, "-e", "stderr")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	log := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
		}
		log <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		said := <-log
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said)
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 30*time.Millisecond)
	return addr, seen
}

// upgraded is what a browser is answered whose page is of the origin.
func upgraded(t *testing.T, addr, host, origin string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "GET /chat/ws HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"+
		"Upgrade: websocket\r\nOrigin: %s\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\nX-Test-Client: 198.51.100.7\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"+
		"Sec-WebSocket-Protocol: gabble.v1.json\r\n\r\n", host, origin)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestNginxAsTheReadmeSays(t *testing.T) {
	addr, ips := behindNginx(t, readmeLocation(t))
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	for _, host := range []string{"chat.example.com:" + port, "chat.example.com", "chat.example.com:80"} {
		require.Equal(t, http.StatusSwitchingProtocols, upgraded(t, addr, host, "http://"+strings.TrimSuffix(host, ":80")).StatusCode, host)
		require.Equal(t, "198.51.100.7", (<-ips).String(), "and the address is the client's")
	}
	require.Equal(t, http.StatusForbidden, upgraded(t, addr, "chat.example.com", "http://evil.example").StatusCode)
}

// Without the Host nobody gets in, and the answer says which line is missing.
func TestNginxWithoutTheHostIsTold(t *testing.T) {
	without := regexp.MustCompile(`(?m)^.*proxy_set_header Host.*$`).ReplaceAllString(readmeLocation(t), "")
	addr, _ := behindNginx(t, without)
	res := upgraded(t, addr, "chat.example.com", "http://chat.example.com")
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	body := make([]byte, 1<<10)
	n, _ := res.Body.Read(body)
	require.Contains(t, string(body[:n]), "proxy_set_header Host")
	require.Contains(t, string(body[:n]), "http://chat.example.com")
}
