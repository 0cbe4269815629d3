package door

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers that say whom a proxy speaks for and hold a list.
const (
	ForwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded" // RFC 7239
)

// Proxies are those whose word on the client is taken.
type Proxies struct {
	Trusted []netip.Prefix // IPv4 as such
	Header  string         // where they write the client's address, in canonical form
}

// peer is the address of the connection's other end. proxy tells that it is one
// that is trusted, or whoever speaks through a Unix socket, which has no address
// at all.
func (p *Proxies) peer(r *http.Request) (ip netip.Addr, proxy bool) {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip = ap.Addr().Unmap()
		return ip, p.Trusts(ip)
	}
	// Middleware of the host may have put the client's own there, without a port.
	if ip, err := netip.ParseAddr(r.RemoteAddr); err == nil {
		return ip.Unmap(), false
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return netip.Addr{}, local.Network() == "unix"
	}
	return netip.Addr{}, r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/'
}

// Client is the address of who sent the request: the peer's, or, where that is a
// proxy, what its header says: of a list, the last one that is no proxy of ours.
func (p *Proxies) Client(r *http.Request) netip.Addr {
	ip, proxy := p.peer(r)
	if !proxy {
		return ip
	}
	lines := r.Header[p.Header]
	switch p.Header {
	case ForwardedFor:
	case forwarded:
		lines = forwardedParams(lines, "for")
	default:
		// One address: of several lines, nobody can tell which the proxy wrote.
		if len(lines) == 1 {
			if hop, ok := parseHop(lines[0]); ok {
				return hop
			}
		}
		return ip
	}
	for _, line := range slices.Backward(lines) {
		for hops := strings.Split(line, ","); len(hops) > 0; hops = hops[:len(hops)-1] {
			text := strings.TrimSpace(hops[len(hops)-1])
			if text == "" && p.Header == ForwardedFor {
				continue // an empty element of a list is none
			}
			hop, ok := parseHop(text)
			if !ok {
				return ip // what is before it nobody vouches for
			}
			if ip = hop; !p.Trusts(ip) {
				return ip
			}
		}
	}
	return ip
}

// parseHop reads an address as proxies write it: bare, in brackets, with a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, port, ok := strings.Cut(inner, "]")
		if ok && (port == "" || isPort(port)) {
			ip, err := netip.ParseAddr(inner)
			return ip.Unmap().WithZone(""), err == nil && ip.Is6()
		}
		return netip.Addr{}, false
	}
	if host, port, ok := strings.Cut(s, ":"); ok && isPort(":"+port) {
		s = host
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap().WithZone(""), err == nil
}

// isPort tells ":443", and what RFC 7239 allows in place of a number to hide it.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 64 || s[0] != ':' {
		return false
	}
	if s[1] == '_' {
		return true
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) <= 6
}

// forwardedParams returns a parameter of each element of a Forwarded header (RFC
// 7239, section 4), "" where an element has none. What is not well formed makes an
// empty element of the line, so that nothing before it is believed.
func forwardedParams(lines []string, name string) (list []string) {
	for _, line := range lines {
		elements, ok := splitQuoted(line, ',')
		if !ok {
			list = append(list, "")
			continue
		}
		for _, element := range elements {
			if strings.TrimSpace(element) == "" {
				continue
			}
			value, seen := "", 0
			pairs, _ := splitQuoted(element, ';')
			for _, pair := range pairs {
				k, v, ok := strings.Cut(pair, "=")
				if !ok || !strings.EqualFold(strings.TrimSpace(k), name) {
					continue
				}
				if seen++; seen == 1 {
					value = unquoteParam(strings.TrimSpace(v))
				} else {
					value = "" // twice: which counts is a matter of opinion
				}
			}
			if strings.ContainsRune(value, ',') {
				value = ""
			}
			list = append(list, value)
		}
	}
	return list
}

// splitQuoted splits at sep outside of quoted strings; false if one does not end.
func splitQuoted(s string, sep byte) (parts []string, ok bool) {
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:]), !quoted
}

func unquoteParam(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i < len(s)-2 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Secure reports whether the client is known to speak TLS, to this server or to a
// proxy that says so. Where it is not known, one may have taken TLS off in silence.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if _, proxy := p.peer(r); !proxy {
		return false
	}
	said := ""
	if p.Header == forwarded {
		if list := forwardedParams(r.Header[forwarded], "proto"); len(list) > 0 {
			said = list[0]
		}
	} else {
		said, _, _ = strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	}
	said = strings.ToLower(strings.TrimSpace(said))
	return said == "https" || said == "wss"
}

// Trusts reports whether an address is that of a trusted proxy.
func (p *Proxies) Trusts(ip netip.Addr) bool {
	ip = ip.WithZone("") // which no prefix has
	for _, t := range p.Trusted {
		if t.Contains(ip) {
			return true
		}
	}
	return false
}
