package wire

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// scan passes over a text that is taken to be JSON. It finds where values
// begin and end, and lets much pass that is no JSON in between.
type scan struct {
	b    []byte
	i    int
	done bool // the object ended where the text does
}

// members yields the names, without quotes, and the values of the text's one
// object. It ends early, and done stays false, where there is no such thing.
func (s *scan) members(yield func(name, value []byte) bool) {
	s.space()
	if !s.eat('{') {
		return
	}
	s.space()
	for first := true; !s.eat('}'); first = false {
		if !first && !s.eat(',') {
			return
		}
		s.space()
		name := s.string()
		s.space()
		if name == nil || !s.eat(':') {
			return
		}
		s.space()
		value := s.value()
		if value == nil || !yield(unquote(name), value) {
			return
		}
		s.space()
	}
	s.space()
	s.done = s.i == len(s.b)
}

// unquote returns what a string says, in place where it holds no escape.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, quoted)
	return plain
}

func (s *scan) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

func (s *scan) eat(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// string passes over a string and returns it with its quotes, or nil.
func (s *scan) string() []byte {
	start := s.i
	if !s.eat('"') {
		return nil
	}
	for {
		n := bytes.IndexByte(s.b[s.i:], '"')
		if n < 0 {
			return nil
		}
		s.i += n + 1
		// A quote is the end unless an odd number of backslashes stands before it.
		slash := s.i - 2
		for slash > start && s.b[slash] == '\\' {
			slash--
		}
		if (s.i-2-slash)%2 == 0 {
			return s.b[start:s.i]
		}
	}
}

// value passes over any value and returns it, or nil.
func (s *scan) value() []byte {
	if s.i >= len(s.b) {
		return nil
	}
	start := s.i
	switch s.b[s.i] {
	case '"':
		return s.string()
	case '{', '[':
		return s.nested()
	}
	for s.i < len(s.b) && !ends(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		return nil
	}
	return s.b[start:s.i]
}

// ends reports whether c can come after a number or a literal.
func ends(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// nested passes over an object or an array: only strings and brackets matter.
func (s *scan) nested() []byte {
	start, depth := s.i, 0
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '"':
			if s.string() == nil {
				return nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.i++
		if depth == 0 {
			return s.b[start:s.i]
		}
	}
	return nil
}

// deeper reports whether anything in the text is inside more than limit
// brackets. It costs next to nothing for what has few of them.
func deeper(b []byte, limit int) bool {
	if bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) <= limit {
		return false
	}
	s, depth := scan{b: b}, 0
	for s.i < len(b) {
		switch b[s.i] {
		case '"':
			if s.string() == nil {
				return false
			}
			continue
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
		s.i++
	}
	return false
}
