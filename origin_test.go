package chat_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/middleware"
	"github.com/gabblehq/chat/storage/memory"
)

// asked is what a server answers to one REST request, without a network.
func asked(t *testing.T, h http.Handler, method, url, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, url, rd)
	r.Header.Set("Authorization", "Bearer alice")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newServer(t *testing.T, o chat.Options) *chat.Server {
	t.Helper()
	if o.Store == nil {
		o.Store = memory.New()
	}
	if o.Authenticate == nil {
		o.Authenticate = chattest.TokenIsUser
	}
	srv, err := chat.New(&o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// originRows say which page may reach which server.
var originRows = []struct {
	name    string
	allowed []string
	origin  string
	host    string
	in      bool
}{
	{"no browser", nil, "", "chat.example.com", true},
	{"same host", nil, "https://chat.example.com", "chat.example.com", true},
	{"same host, upper case", nil, "https://Chat.Example.com", "chat.example.com", true},
	{"same host and port", nil, "https://chat.example.com:8443", "chat.example.com:8443", true},
	{"another port", nil, "https://chat.example.com:8443", "chat.example.com", false},
	{"foreign", nil, "https://evil.example", "chat.example.com", false},
	{"foreign that begins alike", nil, "https://chat.example.com.evil.example", "chat.example.com", false},
	{"foreign that ends alike", nil, "https://evilchat.example.com", "chat.example.com", false},
	{"user part", nil, "https://chat.example.com@evil.example", "chat.example.com", false},
	{"null", nil, "null", "chat.example.com", false},
	{"empty", nil, " ", "chat.example.com", false},
	{"not a URL", nil, "://", "chat.example.com", false},
	{"listed", []string{"https://app.example.com"}, "https://app.example.com", "chat.example.com", true},
	{"listed with another scheme", []string{"https://app.example.com"}, "http://app.example.com", "chat.example.com", false},
	{"listed with another port", []string{"https://app.example.com"}, "https://app.example.com:444", "chat.example.com", false},
	{"own host beside a list", []string{"https://app.example.com"}, "https://chat.example.com", "chat.example.com", true},
	{"pattern", []string{"https://*.example.com"}, "https://a.b.example.com", "chat.example.com", true},
	{"pattern does not cover the domain", []string{"https://*.example.com"}, "https://example.com", "x.test", false},
	{"pattern and a dot", []string{"https://*.example.com"}, "https://evilexample.com", "x.test", false},
	{"pattern and scheme", []string{"https://*.example.com"}, "http://a.example.com", "x.test", false},
	{"pattern and a longer name", []string{"https://*.example.com"}, "https://a.example.com.evil.test", "x.test", false},
	{"star", []string{"*"}, "https://evil.example", "chat.example.com", true},
	{"star and null", []string{"*"}, "null", "chat.example.com", true},
	{"null and a list", []string{"https://app.example.com"}, "null", "chat.example.com", false},
	{"loopback", nil, "http://localhost:5173", "localhost:8080", true},
	{"loopback by number", nil, "http://127.0.0.1:5173", "localhost:8080", true},
	{"loopback IPv6", nil, "http://[::1]:5173", "127.0.0.1:8080", true},
	{"loopback page, real host", nil, "http://localhost:5173", "chat.example.com", false},
	{"foreign page, loopback host", nil, "https://evil.example", "localhost:8080", false},
	{"own port written by the proxy", nil, "https://chat.example.com", "chat.example.com:443", true},
	{"own port written by the page", nil, "http://chat.example.com:80", "chat.example.com", true},
	{"the other scheme's port", nil, "http://chat.example.com", "chat.example.com:443", false},
	{"the other scheme's port, back", nil, "https://chat.example.com", "chat.example.com:80", false},
	{"own port, IPv6", nil, "https://[2001:DB8::1]", "[2001:db8:0::1]:443", true},
	{"ftp page of the same host", nil, "ftp://chat.example.com", "chat.example.com", false},
	{"app of the same host", nil, "capacitor://localhost", "localhost", false},
	{"the own host as a user part", nil, "http://evil.tld@chat.example.com", "chat.example.com", false},
	{"the own host with a password", nil, "https://a:b@chat.example.com", "chat.example.com", false},
	{"a path", nil, "https://chat.example.com/", "chat.example.com", false},
	{"a query", nil, "https://chat.example.com?x", "chat.example.com", false},
	{"a fragment", nil, "https://chat.example.com#x", "chat.example.com", false},
	{"a backslash", nil, `https://evil.tld\@chat.example.com`, "chat.example.com", false},
	{"two in one", nil, "https://chat.example.com https://evil.tld", "chat.example.com", false},
	{"no port behind the colon", nil, "https://chat.example.com:", "chat.example.com", false},
	{"listed user part", []string{"https://app.example.com"}, "https://evil.tld@app.example.com", "x.test", false},
	{"listed with its port", []string{"https://app.example.com:443"}, "https://app.example.com", "x.test", true},
	{"pattern with its port", []string{"https://*.example.com:443"}, "https://a.example.com", "x.test", true},
	{"pattern with another port", []string{"https://*.example.com:8443"}, "https://a.example.com", "x.test", false},
	{"listed in capitals", []string{"HTTPS://App.Example.Com"}, "https://app.example.com", "x.test", true},
	{"null named", []string{"null"}, "null", "x.test", true},
	{"null named, another", []string{"null"}, "https://evil.example", "x.test", false},
	{"file named", []string{"file://"}, "file://", "x.test", true},
	{"file not named", nil, "file://", "x.test", false},
	{"file named, null", []string{"file://"}, "null", "x.test", false},
	{"app named", []string{"capacitor://localhost"}, "capacitor://localhost", "x.test", true},
	{"app named, another", []string{"capacitor://localhost"}, "ionic://localhost", "x.test", false},
	{"localhost look-alike", nil, "http://localhost.evil.example", "localhost:8080", false},
}

func TestOriginsGovernRESTAndUpgradesAlike(t *testing.T) {
	for _, row := range originRows {
		t.Run(row.name, func(t *testing.T) {
			srv := newServer(t, chat.Options{Origins: row.allowed})
			for method, path := range map[string]string{"GET": "/rooms", "POST": "/direct"} {
				body := ""
				if method == "POST" {
					body = `{"user":"bob"}`
				}
				header := []string{"Origin", row.origin}
				if row.origin == "" {
					header = nil
				}
				w := asked(t, srv, method, "http://"+row.host+path, body, header...)
				if row.in {
					require.Less(t, w.Code, 300, "%s: %s", method, w.Body)
					continue
				}
				require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", method, w.Body)
				require.Contains(t, w.Body.String(), `"code":"forbidden"`)
				require.Contains(t, w.Body.String(), "Options.Origins")
				require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			}
			header := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
			if row.origin != "" {
				header = append(header, "Origin", row.origin)
			}
			w := asked(t, srv, "GET", "http://"+row.host+"/ws", "", header...)
			if row.in { // as far as a recorder goes
				require.Equal(t, http.StatusInternalServerError, w.Code, "%s", w.Body)
				require.Contains(t, w.Body.String(), "httptest.ResponseRecorder")
				return
			}
			require.Equal(t, http.StatusForbidden, w.Code)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), `"code":"forbidden"`)
		})
	}
}

func TestForeignPageCannotUpgradeThroughAnyDoor(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{Origins: []string{"https://app.example.com"}})
		res := s.handshake(s.conn(), "Authorization: Bearer alice", "Origin: https://evil.example")
		body, _ := io.ReadAll(res.Body)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		require.Contains(t, string(body), `"code":"forbidden"`)
		res = s.handshake(s.conn(), "Authorization: Bearer alice", "Origin: https://evil.example", "Origin: https://app.example.com")
		require.Equal(t, http.StatusForbidden, res.StatusCode, "of two origins none counts")
		res = s.handshake(s.conn(), "Authorization: Bearer alice", "Origin: https://app.example.com")
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	})
}

func TestStarNeverComesWithCredentials(t *testing.T) {
	srv := newServer(t, chat.Options{Origins: []string{"*"}})
	for _, origin := range []string{"https://evil.example", "null", "file://"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			h := asked(t, srv, method, "http://chat.example.com/rooms", "", "Origin", origin).Header()
			require.NotEmpty(t, h.Get("Access-Control-Allow-Origin"))
			require.Empty(t, h.Get("Access-Control-Allow-Credentials"),
				"%s from %s: every page there is could read with the cookies of whoever visits it", method, origin)
		}
	}
}

func TestPreflightOfAllowedOrigins(t *testing.T) {
	srv := newServer(t, chat.Options{Origins: []string{"https://app.example.com"}})
	for _, path := range []string{"/rooms", "/rooms/r/messages", "/rooms/r/messages/1", "/direct"} {
		w := asked(t, srv, http.MethodOptions, "http://chat.example.com"+path, "",
			"Origin", "https://app.example.com", "Access-Control-Request-Method", "PATCH", "Authorization", "")
		require.Equal(t, http.StatusNoContent, w.Code, "%s %s", path, w.Body)
		h := w.Header()
		require.Equal(t, "https://app.example.com", h.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", h.Get("Access-Control-Allow-Credentials"))
		require.Equal(t, "3600", h.Get("Access-Control-Max-Age"))
		require.Contains(t, h.Get("Access-Control-Allow-Methods"), "PATCH")
		require.Contains(t, h.Get("Access-Control-Allow-Methods"), "DELETE")
		require.Contains(t, h.Get("Access-Control-Allow-Headers"), "Authorization")
		require.Contains(t, h.Get("Access-Control-Allow-Headers"), "Content-Type")
		require.Contains(t, strings.Join(h.Values("Vary"), ","), "Origin")
	}
	w := asked(t, srv, http.MethodOptions, "http://chat.example.com/rooms", "", "Origin", "https://evil.example")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))

	h := asked(t, srv, http.MethodGet, "http://chat.example.com/rooms/nowhere", "", "Origin", "https://app.example.com").Header()
	require.Equal(t, "https://app.example.com", h.Get("Access-Control-Allow-Origin"), "errors can be read as well")
	h = asked(t, srv, http.MethodGet, "http://chat.example.com/rooms", "", "Origin", "https://app.example.com", "Authorization", "").Header()
	require.Equal(t, "https://app.example.com", h.Get("Access-Control-Allow-Origin"), "and so can being nobody")
}

func TestUnsafeMethodsOfOtherSitesAreRefused(t *testing.T) {
	srv := newServer(t, chat.Options{})
	for _, row := range []struct {
		method, path, body string
	}{
		{"POST", "/rooms", `{"id":"r"}`}, {"POST", "/direct", `{"user":"bob"}`}, {"PATCH", "/rooms/r", `{}`}, {"DELETE", "/rooms/r", ""},
		{"POST", "/rooms/r/messages", `{"content":"x"}`}, {"PATCH", "/rooms/r/messages/1", `{"content":"x"}`}, {"DELETE", "/rooms/r/messages/1", ""},
	} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			w := asked(t, srv, row.method, "http://chat.example.com"+row.path, row.body, header...)
			require.Equal(t, http.StatusForbidden, w.Code, "%s %s %s: %s", row.method, row.path, header, w.Body)
		}
		w := asked(t, srv, row.method, "http://chat.example.com"+row.path, row.body, "Content-Type", "text/plain")
		if row.body != "" {
			require.Equal(t, http.StatusBadRequest, w.Code, "a form of another site cannot send JSON")
		}
	}
	page, err := srv.Rooms(t.Context(), "", 10)
	require.NoError(t, err)
	require.Empty(t, page.Rooms)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}

// via is the address that middleware sees of a client that claims to stand
// behind others.
func (s *venue) via(rec *cmdRecorder, forwarded ...string) string {
	s.t.Helper()
	rec.take()
	lines := []string{"Authorization: Bearer alice"}
	for _, f := range forwarded {
		lines = append(lines, "X-Forwarded-For: "+f)
	}
	require.Equal(s.t, http.StatusSwitchingProtocols, s.handshake(s.conn(), lines...).StatusCode)
	list := rec.take()
	require.Equal(s.t, chat.CmdConnect, list[0].Type)
	require.Equal(s.t, list[0].RemoteIP, list[1].RemoteIP)
	return list[0].RemoteIP.String()
}

func TestForwardedAddressesAreBelievedOfProxiesOnly(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		var rec cmdRecorder
		o := chat.Options{Middleware: []chat.Middleware{before(rec.note)}}
		require.Equal(t, "127.0.0.1", d.open(t, o).via(&rec, "198.51.100.7"), "whoever comes directly says what they like")
		o.TrustedProxies = loopback
		s := d.open(t, o)
		require.Equal(t, "198.51.100.7", s.via(&rec, "198.51.100.7"))
		require.Equal(t, "198.51.100.7", s.via(&rec, "203.0.113.1, 198.51.100.7, 10.1.2.3"), "the last one that is no proxy of ours")
		require.Equal(t, "198.51.100.7", s.via(&rec, "203.0.113.1", "198.51.100.7"))
		require.Equal(t, "2001:db8::1", s.via(&rec, "2001:db8::1"))
		for said, want := range map[string]string{
			"198.51.100.7:5678": "198.51.100.7", "[2001:db8::1]:443": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
			"2001:db8::2, 10.1.2.3:80": "2001:db8::2", "::ffff:198.51.100.7": "198.51.100.7", "[::ffff:198.51.100.7]:80": "198.51.100.7",
			"198.51.100.7,": "198.51.100.7", "198.51.100.7, 10.1.2.3:65535 , ": "198.51.100.7",
			"fe80::1%eth0": "fe80::1", "198.51.100.7, unknown": "127.0.0.1", "198.51.100.7, nonsense, 10.1.2.3": "10.1.2.3",
			"198.51.100.7:": "127.0.0.1", "198.51.100.7:http": "127.0.0.1", "[198.51.100.7]": "127.0.0.1", "[2001:db8::1": "127.0.0.1",
			"[2001:db8::1]x": "127.0.0.1", "1.2.3.4:5:6": "127.0.0.1",
		} {
			require.Equal(t, want, s.via(&rec, said), said)
		}
		require.Equal(t, "127.0.0.1", s.via(&rec, "nonsense"))
		require.Equal(t, "127.0.0.1", s.via(&rec))
	})
}

// Credentials are not only in Authorization and Cookie: whatever the host's
// Authenticate reads, guessing it is limited.
func TestGuessingIsLimitedWhateverTheHeader(t *testing.T) {
	calls := 0
	srv := newServer(t, chat.Options{
		Authenticate: func(r *http.Request) (chat.User, error) {
			calls++
			return chat.User{}, chat.ErrUnauthenticated
		},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, // where httptest comes from
		Middleware: []chat.Middleware{middleware.RateLimitWith(nil, middleware.RateLimits{
			Request: chat.Rate{PerSecond: 0.01, Burst: 2}, Connect: chat.Rate{PerSecond: 0.01, Burst: 2},
		})},
	})
	for _, header := range [][]string{{"Cookie", "session=guess"}, {"X-Api-Key", "guess"}} {
		calls = 0
		for range 5 {
			asked(t, srv, "GET", "/rooms", "", append(header, "Authorization", "", "X-Forwarded-For", "198.51.100.7")...)
		}
		require.LessOrEqual(t, calls, 2, "%v", header)
	}
}

func TestConnectsAreLimitedByAddress(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{TrustedProxies: loopback, Middleware: []chat.Middleware{
			middleware.RateLimitWith(nil, middleware.RateLimits{Connect: chat.Rate{PerSecond: 0.01, Burst: 2}}),
		}})
		from := func(ip string) *http.Response { return s.handshake(s.conn(), "X-Forwarded-For: "+ip) }
		require.Equal(t, http.StatusSwitchingProtocols, from("198.51.100.7").StatusCode)
		require.Equal(t, http.StatusSwitchingProtocols, from("198.51.100.7").StatusCode)
		res := from("198.51.100.7")
		require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		require.Contains(t, []string{"99", "100"}, res.Header.Get("Retry-After"))
		require.Equal(t, http.StatusSwitchingProtocols, from("198.51.100.8").StatusCode, "others come in")
	})
}
