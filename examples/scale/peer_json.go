//go:build linux

package main

import (
	"bytes"
	"errors"
)

var errJSON = errors.New("not one compact JSON object")

// members calls each with every member of the object b, from end to end. Values
// are delimited, not looked into; there is no white space, as servers that count
// bytes write it, and no escape in a name.
func members(b []byte, each func(name, value []byte) error) error {
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return errJSON
	}
	for b = b[1:]; len(b) > 1; {
		n := stringEnd(b)
		if n < 0 || n >= len(b) || b[n] != ':' {
			return errJSON
		}
		name := b[1 : n-1]
		b = b[n+1:]
		if n = valueEnd(b); n <= 0 || n >= len(b) {
			return errJSON
		}
		if err := each(name, b[:n]); err != nil {
			return err
		}
		if b = b[n:]; b[0] == ',' {
			b = b[1:]
		} else if len(b) > 1 {
			return errJSON
		}
	}
	return nil
}

// valueEnd is how long the value is that b begins with; below 1 if it has no end.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
	default:
		return bytes.IndexAny(b, ",}]")
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// stringEnd is how long the string is that b begins with; -1 if there is none.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return -1
	}
	for i := 1; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n + 1
		escapes := 0
		for b[i-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// unquoted is what a string says that holds no escape; nil for anything else.
func unquoted(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil
	}
	return value[1 : len(value)-1]
}
