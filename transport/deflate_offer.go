package transport

import (
	"net/http"
	"strings"
)

// deflateName and the parameters of permessage-deflate (RFC 7692, section 7.1).
const (
	deflateName             = "permessage-deflate"
	serverNoContextTakeover = "server_no_context_takeover"
	clientNoContextTakeover = "client_no_context_takeover"
	serverMaxWindowBits     = "server_max_window_bits"
	clientMaxWindowBits     = "client_max_window_bits"
)

// extensionsHeader is where extensions are offered and granted.
const extensionsHeader = "Sec-Websocket-Extensions"

// grantDeflate has the connection of a request compressed if the transport, the
// host and the client agree on it: the grant goes into the answer's header, and
// open gets a connection that knows.
func (t *Transport) grantDeflate(u *Upgrade, open *func(*Conn) Handler, offers []string) {
	if !t.opts.Deflate || !u.Deflate {
		return
	}
	grant := acceptDeflate(offers)
	if grant == "" {
		return
	}
	h := u.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h["Sec-WebSocket-Extensions"] = []string{grant}
	u.Header = h
	inner := *open
	*open = func(c *Conn) Handler {
		c.mu.Lock()
		c.set(isDeflating)
		c.mu.Unlock()
		return inner(c)
	}
}

// acceptDeflate answers the values of Sec-WebSocket-Extensions: with the first
// offer of permessage-deflate that can be granted, or nothing.
//
// Neither side may keep a context between messages: the frames of a room are
// compressed once for everybody, and an idle connection is to hold no window.
func acceptDeflate(values []string) string {
	for _, v := range values {
		for rest, more := v, true; more; {
			var offer string
			offer, rest, more = cutOutsideQuotes(rest, ',')
			if bits, ok := parseOffer(offer); ok {
				const grant = deflateName + "; " + serverNoContextTakeover + "; " + clientNoContextTakeover
				if bits != "" {
					// Section 7.1.2.1: granting such an offer takes repeating it.
					return grant + "; " + serverMaxWindowBits + "=" + bits
				}
				return grant
			}
		}
	}
	return ""
}

// parseOffer tells whether an offer can be granted (section 7.1): one that is
// malformed, repeats a parameter, has an unknown one, or limits the window in which
// this side compresses, is declined. serverBits is the limit, if one is given.
func parseOffer(offer string) (serverBits string, ok bool) {
	name, rest, more := cutOutsideQuotes(offer, ';')
	if !strings.EqualFold(strings.TrimSpace(name), deflateName) {
		return "", false
	}
	var seen [4]bool
	for more {
		var param string
		param, rest, more = cutOutsideQuotes(rest, ';')
		name, value, valued := strings.Cut(param, "=")
		if value, ok = unquote(strings.TrimSpace(value)); valued && !ok {
			return "", false
		}
		which, valid := -1, false
		switch strings.ToLower(strings.TrimSpace(name)) {
		case serverNoContextTakeover:
			which, valid = 0, !valued
		case clientNoContextTakeover:
			which, valid = 1, !valued
		case serverMaxWindowBits:
			which, valid = 2, value == "15"
			serverBits = value
		case clientMaxWindowBits:
			// A hint, or leave to ask for less than the 15 that inflating allows.
			which, valid = 3, !valued || isWindowBits(value)
		}
		if !valid || seen[which] {
			return "", false
		}
		seen[which] = true
	}
	return serverBits, true
}

// isWindowBits tells a decimal from 8 to 15 without leading zeros.
func isWindowBits(s string) bool {
	return s == "8" || s == "9" || len(s) == 2 && s[0] == '1' && s[1] >= '0' && s[1] <= '5'
}

// unquote returns the token that a parameter's value is, or that it quotes (RFC
// 6455, section 9.1).
func unquote(v string) (token string, ok bool) {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		var b strings.Builder
		for i := 1; i < len(v)-1; i++ {
			if v[i] == '\\' {
				if i++; i == len(v)-1 {
					return "", false
				}
			}
			b.WriteByte(v[i])
		}
		v = b.String()
	}
	return v, isToken([]byte(v))
}

// cutOutsideQuotes cuts s around the first separator that no quoted string holds.
func cutOutsideQuotes(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case !quoted && s[i] == sep:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
