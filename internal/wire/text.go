package wire

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blank are the letters and symbols that look like nothing and are in no class of such:
// braille, hieroglyphs and a notehead without ink, and what stands for an object.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0xfffc, Hi: 0xfffc, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x13441, Hi: 0x13442, Stride: 1}, {Lo: 0x1d159, Hi: 0x1d159, Stride: 1}},
}

// invisible are the characters of which alone nobody sees anything: white space,
// controls, formats and fillers, and marks, which need something to stand on.
var invisible = []*unicode.RangeTable{
	unicode.Z, unicode.Cc, unicode.Cf, unicode.Cs, unicode.M,
	unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point, blank,
}

// Visible reports whether there is anything to be seen of a text.
func Visible(s string) bool {
	for _, r := range s {
		if r > ' ' && r < 0x7f || !unicode.In(r, invisible...) {
			return true
		}
	}
	return false
}

// OneLine reports whether a text is UTF-8 that stays on its line and says nothing to a
// terminal: no control characters, no line or paragraph separators.
func OneLine(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return breaks(r) || unicode.Is(unicode.Cc, r) }) && utf8.ValidString(s)
}

// Lines is OneLine for texts that may have several lines, and tabs.
func Lines(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t' }) && utf8.ValidString(s)
}

func breaks(r rune) bool { return r == '\u2028' || r == '\u2029' }

// ValidURL lets through what a client may put into a link or an image without thought:
// an http or https URL, or a path from the root of the same host. Browsers read a
// backslash as a slash and pass over control characters, so there are none: what looks
// like a path must not lead to another host.
func ValidURL(s string) bool {
	if len(s) > MaxURL || !OneLine(s) || strings.IndexByte(s, '\\') >= 0 {
		return false
	}
	for _, scheme := range [...]string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			return validAuthority(rest)
		}
	}
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
}

// validAuthority reports whether what follows a scheme begins with a host that can be one.
// It is no parser of URLs: it lets through nothing of which a browser makes none.
func validAuthority(s string) bool {
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	host := s[strings.LastIndexByte(s, '@')+1:]
	var port string
	if strings.HasPrefix(host, "[") {
		inside, after, ok := strings.Cut(host[1:], "]")
		ip, err := netip.ParseAddr(inside)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" || after != "" && after[0] != ':' {
			return false
		}
		host, port = inside, strings.TrimPrefix(after, ":")
	} else {
		host, port, _ = strings.Cut(host, ":")
		if strings.ContainsAny(host, "[]") {
			return false
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return false
	}
	return host != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`"<>^`+"`{|}", r)
	})
}
