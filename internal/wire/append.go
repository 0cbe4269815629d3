package wire

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The helpers below append one member of an object. None of them is told
// whether it is the first: after "{" no comma is due, after anything else one.

func appendKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// appendQuoted writes U+FFFD for what is not UTF-8, which is all that its
// error is about, and for U+0000, which readers refuse.
func appendQuoted(b []byte, s string) []byte {
	if plain(s) {
		b = append(append(b, '"'), s...)
		return append(b, '"')
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\ufffd")
	}
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// plain reports whether s stands in JSON as it is, as ids and most names do.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendString(b []byte, name, s string) []byte {
	return appendQuoted(appendKey(b, name), s)
}

// appendInt writes what a reader takes: of a number that is none of the
// protocol's, which no caller should have, the nearest that is.
func appendInt(b []byte, name string, n int64) []byte {
	return strconv.AppendInt(appendKey(b, name), min(max(n, 0), MaxNumber), 10)
}

func appendBool(b []byte, name string, v bool) []byte {
	return strconv.AppendBool(appendKey(b, name), v)
}

// The opt forms leave out what is zero.

func optString(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, name, s)
}

func optInt(b []byte, name string, n int64) []byte {
	if n <= 0 {
		return b
	}
	return appendInt(b, name, n)
}

func optTrue(b []byte, name string, v bool) []byte {
	if !v {
		return b
	}
	return appendBool(b, name, v)
}

// optTime writes RFC 3339 in UTC with milliseconds, by hand because
// Time.AppendFormat takes as long as the rest of a message.
func optTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return b // RFC 3339 has no way to write it
	}
	hour, minute, second := t.Clock()
	b = append(appendKey(b, name), '"')
	b = append(appendDigits(b, year, 1000), '-')
	b = append(appendDigits(b, int(month), 10), '-')
	b = append(appendDigits(b, day, 10), 'T')
	b = append(appendDigits(b, hour, 10), ':')
	b = append(appendDigits(b, minute, 10), ':')
	b = append(appendDigits(b, second, 10), '.')
	b = appendDigits(b, t.Nanosecond()/1e6, 100)
	return append(b, 'Z', '"')
}

// appendDigits writes n with as many digits as the unit of its first one has.
func appendDigits(b []byte, n, unit int) []byte {
	for ; unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

// optRaw writes an object as it is. What comes in is checked there; but what is
// no object after all, of a store or a program of somebody else's, is left out:
// it would take the frame, and who is in the room, with it.
func optRaw(b []byte, name string, raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' || deeper(raw, maxDepth) || !jsontext.Value(raw).IsValid() {
		return b
	}
	return append(appendKey(b, name), raw...)
}

func optStrings(b []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendKey(b, name), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, s)
	}
	return append(b, ']')
}

// appendList writes an array of objects, "[]" when there are none.
func appendList[T any](b []byte, name string, list []T, object func([]byte, *T) []byte) []byte {
	b = append(appendKey(b, name), '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = object(b, &list[i])
	}
	return append(b, ']')
}

func optList[T any](b []byte, name string, list []T, object func([]byte, *T) []byte) []byte {
	if len(list) == 0 {
		return b
	}
	return appendList(b, name, list, object)
}

// open begins an object, with its type where it is a frame.
func open(b []byte, typ string) []byte {
	return optString(append(b, '{'), "type", typ)
}
