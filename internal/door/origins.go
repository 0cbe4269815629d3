package door

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// webOrigin is an origin (RFC 6454) in the one way in which it compares: lower case,
// the port as a number, that of the scheme where none is written.
type webOrigin struct {
	scheme, host string
	port         int  // 0: the scheme has no port of its own, and none was written
	below        bool // of a pattern: every host below this one, not the host itself
}

// defaultPorts are those that browsers leave out.
var defaultPorts = map[string]int{"http": 80, "https": 443, "ftp": 21}

// parseOrigin reads what a browser may send as an Origin, "null" apart.
func parseOrigin(s string) (o webOrigin, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return o, errors.New("an origin is a scheme, :// and a host")
	}
	o.scheme = strings.ToLower(scheme)
	if rest == "" && defaultPorts[o.scheme] == 0 {
		return o, nil // file://, for one
	}
	o.host, o.port, err = splitHost(rest)
	if err == nil && o.port == 0 {
		o.port = defaultPorts[o.scheme]
	}
	return o, err
}

// splitHost reads a host and, where it is written, a port.
func splitHost(s string) (host string, port int, err error) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host = s[:i]
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 || s[i+1] == '+' {
			return "", 0, fmt.Errorf("%q is no port", s[i+1:])
		}
		port = int(n)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !ip.Is6() || ip.Zone() != "" {
			return "", 0, fmt.Errorf("%q is no IPv6 address", host)
		}
		return "[" + ip.String() + "]", port, nil
	}
	if host == "" {
		return "", 0, errors.New("there is no host")
	}
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("#%/:<>?@[\\]^|*\"`{}", c) >= 0 {
			return "", 0, fmt.Errorf("%q is no host: browsers write names in ASCII, others as xn--", host)
		}
	}
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err != nil && endsInNumber(host) {
		return "", 0, fmt.Errorf("%q is no IPv4 address as browsers write it", host)
	}
	return host, port, nil
}

// endsInNumber tells what a browser takes for an IPv4 address.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 10, 64)
	if hex, ok := strings.CutPrefix(last, "0x"); ok && err != nil {
		_, err = strconv.ParseUint("0"+hex, 16, 64)
	}
	return err == nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= s[i] && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// parsePattern reads an entry of a list, "*" and "null" apart, and says
// what is wrong with one that no browser's origin can ever match.
func parsePattern(s string) (webOrigin, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	bare, below := strings.CutPrefix(rest, "*.")
	if below {
		s = scheme + "://" + bare
	}
	o, err := parseOrigin(s)
	if err != nil {
		return o, err
	}
	o.below = below
	switch o.scheme {
	case "ws", "wss":
		return o, errors.New("an origin is that of the page, http or https, not that of the WebSocket")
	}
	if _, err := netip.ParseAddr(strings.Trim(o.host, "[]")); below && err == nil {
		return o, errors.New("there is nothing below an address")
	}
	return o, nil
}

// covers reports whether a pattern names the origin.
func (p webOrigin) covers(o webOrigin) bool {
	if p.scheme != o.scheme || p.port != o.port {
		return false
	}
	if p.below {
		return strings.HasSuffix(o.host, "."+p.host)
	}
	return p.host == o.host
}

// opaque tells origins that anybody's page may have: a file on any disk, or, as
// "null", a sandboxed frame on any site.
func (p webOrigin) opaque() bool { return p.host == "" }

// Origins are those whose pages are let in, beside the server's own.
type Origins struct {
	any, null bool
	list      []webOrigin
}

// ReadOrigins reads a list of origins such as https://app.example.com, patterns
// such as https://*.example.com, null and *. What can match nothing it leaves
// out, and gives it to bad, which may be nil.
func ReadOrigins(entries []string, bad func(i int, err error)) *Origins {
	all := &Origins{}
	for i, s := range entries {
		switch s {
		case "*":
			all.any = true
			continue
		case "null":
			all.null = true
			continue
		}
		o, err := parsePattern(s)
		if err == nil {
			all.list = append(all.list, o)
		} else if bad != nil {
			bad(i, err)
		}
	}
	return all
}

// Trust is how much an origin is trusted.
type Trust uint8

// From nothing up.
const (
	Refused Trust = iota
	Anybody       // only because everybody is let in
	Named         // the server's own, or one that is named
)

// Check says how much the page is trusted that a browser has sent the request
// for. Whoever is not a browser sends no Origin. secure tells that the server's
// own pages come over TLS, which others could write into on the way.
func (all *Origins) Check(r *http.Request, secure bool) Trust {
	switch sent := r.Header["Origin"]; len(sent) {
	case 0:
		return Named
	case 1:
		return all.trust(sent[0], r.Host, secure)
	}
	return Refused // of several none counts
}

// trust says how much an origin is, in a request that was sent to host.
func (all *Origins) trust(origin, host string, secure bool) Trust {
	least := Refused
	if all.any || all.null && origin == "null" {
		least = Anybody
	}
	o, err := parseOrigin(origin)
	if err != nil {
		return least
	}
	if o.scheme == "http" || o.scheme == "https" {
		own, port, err := splitHost(host)
		switch {
		case err != nil:
		case isLoopback(o.host) && isLoopback(own):
			// Development on one machine: the page often comes from another port.
			return Named
		case port == 0:
			port = defaultPorts[o.scheme]
			fallthrough
		default:
			if o.host == own && o.port == port && (!secure || o.scheme == "https") {
				return Named
			}
		}
	}
	for _, p := range all.list {
		if !p.covers(o) {
			continue
		}
		if !p.opaque() {
			return Named
		}
		least = Anybody
	}
	return least
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
