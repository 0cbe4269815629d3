package door_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/door"
)

// TestAddressesAreBounded: IPv4 however it is written, IPv6 by the /64, and what
// has no address not at all.
func TestAddressesAreBounded(t *testing.T) {
	a := door.NewAddresses(1)
	for _, row := range []struct {
		ip string
		in bool
	}{
		{"198.51.100.7", true}, {"::ffff:198.51.100.7", false}, {"198.51.100.8", true},
		{"2001:db8::1", true}, {"2001:db8::ffff:ffff:ffff:ffff", false}, {"2001:db8:0:1::1", true}, {"fe80::1%eth0", true}, {"fe80::2", false},
	} {
		ip := netip.MustParseAddr(row.ip)
		require.Equal(t, !row.in, a.Full(ip), row.ip)
		require.Equal(t, row.in, a.Enter(ip), row.ip)
	}
	ip := netip.MustParseAddr("198.51.100.7")
	a.Leave(ip)
	require.True(t, a.Enter(ip))
	for range 3 {
		require.True(t, a.Enter(netip.Addr{}))
		require.True(t, door.NewAddresses(0).Enter(ip))
	}
	a.Leave(netip.Addr{})
}

// TestRequestsAreBounded: in all, by address and by user; those that were refused
// have not been counted.
func TestRequestsAreBounded(t *testing.T) {
	q := door.NewRequests(door.RequestLimits{All: 3, PerAddress: 2, PerUser: 1})
	a, b := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")
	for range 2 {
		require.Equal(t, door.NotFull, q.Enter(a))
		require.Equal(t, door.NotFull, q.Enter(a))
		require.Equal(t, door.AddressFull, q.Enter(a))
		require.Equal(t, door.NotFull, q.Enter(b))
		require.Equal(t, door.AllFull, q.Enter(netip.Addr{}))
		for _, ip := range []netip.Addr{a, a, b} {
			q.Leave(ip)
		}
		require.True(t, q.EnterUser("alice"))
		require.False(t, q.EnterUser("alice"))
		require.True(t, q.EnterUser("bob"))
		q.LeaveUser("alice")
		q.LeaveUser("bob")
	}
	free := door.NewRequests(door.RequestLimits{All: 3})
	for range 3 {
		require.Equal(t, door.NotFull, free.Enter(a))
	}
}

func TestMemoryIsMeasured(t *testing.T) {
	require.True(t, door.NewMemory(1).Over())
	require.False(t, door.NewMemory(math.MaxInt64).Over())
}

func request(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://chat.example/ws", nil)
	for i := 0; i < len(lines); i += 2 {
		r.Header.Add(lines[i], lines[i+1])
	}
	return r
}

func TestOriginsAreTrusted(t *testing.T) {
	const named, anybody, refused = door.Named, door.Anybody, door.Refused
	for _, row := range []struct {
		entries []string
		origin  string
		secure  bool
		trust   door.Trust
	}{
		{nil, "http://chat.example", false, named},
		{nil, "HTTP://Chat.Example:80", false, named},
		{nil, "https://chat.example", false, named}, // a proxy may have taken TLS off
		{nil, "http://chat.example:8080", false, refused},
		{nil, "http://chat.example", true, refused},
		{nil, "https://evil.example", false, refused},
		{nil, "null", false, refused},
		{[]string{"null"}, "null", false, anybody},
		{[]string{"*"}, "https://evil.example", false, anybody},
		{[]string{"*", "https://app.example"}, "https://app.example:443", false, named},
		{[]string{"https://*.example"}, "https://a.b.example", false, named},
		{[]string{"https://*.example"}, "https://example", false, refused},
		{[]string{"file://"}, "file://", false, anybody},
		{[]string{"capacitor://localhost"}, "capacitor://localhost", false, named},
	} {
		o := door.ReadOrigins(row.entries, func(_ int, err error) { t.Error(err) })
		require.Equal(t, row.trust, o.Check(request("Origin", row.origin), row.secure), "%v: %s", row.entries, row.origin)
	}
	o := door.ReadOrigins([]string{"*"}, nil)
	require.Equal(t, named, o.Check(request(), false), "no browser")
	require.Equal(t, refused, o.Check(request("Origin", "http://chat.example", "Origin", "http://chat.example"), false))
	var bad []int
	door.ReadOrigins([]string{"https://app.example", "app.example", "wss://app.example", "http://*.10.0.0.1"}, func(i int, _ error) { bad = append(bad, i) })
	require.Equal(t, []int{1, 2, 3}, bad)
}

func TestShareAnswersThePageThatIsTrusted(t *testing.T) {
	r := request("Origin", "https://app.example")
	for trust, origin := range map[door.Trust]string{door.Named: "https://app.example", door.Anybody: "*", door.Refused: ""} {
		h := http.Header{}
		door.Share(h, r, trust)
		require.Equal(t, origin, h.Get("Access-Control-Allow-Origin"))
		require.Equal(t, trust == door.Named, h.Get("Access-Control-Allow-Credentials") == "true")
	}
	for _, row := range []struct {
		method, site string
		cross        bool
	}{
		{http.MethodPost, "cross-site", true}, {http.MethodPost, "same-origin", false}, {http.MethodGet, "cross-site", false},
	} {
		r := request("Sec-Fetch-Site", row.site)
		r.Method = row.method
		require.Equal(t, row.cross, door.CrossSite(r))
	}
}

func TestProxiesTellTheClient(t *testing.T) {
	for _, row := range []struct {
		header, peer, said, client string
	}{
		{"X-Forwarded-For", "203.0.113.9:1", "198.51.100.7", "203.0.113.9"}, // no proxy of ours
		{"X-Forwarded-For", "192.0.2.1:1", "", "192.0.2.1"},
		{"X-Forwarded-For", "192.0.2.1:1", "10.1.1.1, 198.51.100.7, 192.0.2.2", "198.51.100.7"},
		{"X-Forwarded-For", "192.0.2.1:1", "198.51.100.7, lies", "192.0.2.1"},
		{"X-Forwarded-For", "@", "198.51.100.7:80", "198.51.100.7"},
		{"Forwarded", "192.0.2.1:1", `for="[2001:db8::1]:443";proto=https`, "2001:db8::1"},
		{"X-Real-Ip", "192.0.2.1:1", "198.51.100.7", "198.51.100.7"},
	} {
		p := door.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Header: row.header}
		r := request(row.header, row.said)
		r.RemoteAddr = row.peer
		require.Equal(t, row.client, p.Client(r).String(), "%+v", row)
		require.Equal(t, row.header == "Forwarded", p.Secure(r))
		r.Header.Set("X-Forwarded-Proto", "https")
		require.Equal(t, row.peer != "203.0.113.9:1" && (row.header != "Forwarded" || row.said != ""), p.Secure(r))
	}
}
