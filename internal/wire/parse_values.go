package wire

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// names walks the object that comes next and yields each name, to be followed
// by reading or skipping its value. A name is valid until that is unquoted.
func (p *parser) names(yield func(name []byte) bool) {
	if _, err := p.dec.ReadToken(); err != nil { // the brace
		p.broken(err)
		return
	}
	for p.dec.PeekKind() != '}' {
		raw, err := p.dec.ReadValue()
		if err != nil {
			p.broken(err)
			return
		}
		if !yield(p.unquote(raw)) || p.over {
			return
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		p.broken(err)
	}
}

// value reads one value whole; nil when the grammar is broken. It is valid
// until the next read.
func (p *parser) value() jsontext.Value {
	raw, err := p.dec.ReadValue()
	if err != nil {
		p.broken(err)
		return nil
	}
	return raw
}

// unquote returns what a JSON string says, valid until the next call or read.
func (p *parser) unquote(raw jsontext.Value) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	p.text, _ = jsontext.AppendUnquote(p.text[:0], raw) // the decoder has found it valid
	return p.text
}

// optString also says whether there was a string at all. Null is as good as
// absent, here and below: many languages cannot help sending it.
func (p *parser) optString(field string) (string, bool) { return p.toString(field, p.value()) }

func (p *parser) toString(field string, raw jsontext.Value) (string, bool) {
	switch raw.Kind() {
	case '"':
		s := string(p.unquote(raw))
		if len(s) < len(raw)-2 && strings.IndexByte(s, 0) >= 0 {
			// It can only be written as an escape, and not every store can hold it.
			p.fail(field, "holds U+0000")
		}
		return s, true
	case 'n':
	default:
		p.fail(field, "must be a string")
	}
	return "", false
}

func (p *parser) string(field string) string {
	s, _ := p.optString(field)
	return s
}

func (p *parser) bool(field string, absent bool) bool {
	switch p.value().Kind() {
	case 't':
		return true
	case 'f':
		return false
	case 'n':
	default:
		p.fail(field, "must be true or false")
	}
	return absent
}

// position reads an integer that may be as large as every JSON reader holds
// exactly.
func (p *parser) position(field string, absent int64) int64 {
	return p.int(field, absent, MaxNumber)
}

// count reads an integer that is an int everywhere.
func (p *parser) count(field string, absent int) int {
	return int(p.int(field, int64(absent), MaxCount))
}

// int takes digits only: 1.0 and 1e3 are integers to some languages and not
// to others.
func (p *parser) int(field string, absent, most int64) int64 {
	raw := p.value()
	if raw.Kind() == 'n' {
		return absent
	}
	n := int64(0)
	for _, c := range raw {
		if c < '0' || c > '9' || n > most {
			n = -1
			break
		}
		n = n*10 + int64(c-'0')
	}
	if len(raw) == 0 || n < 0 || n > most {
		p.fail(field, "must be an integer from 0 to %d", most)
		return absent
	}
	return n
}

func (p *parser) meta(field string) []byte {
	raw := p.value()
	switch raw.Kind() {
	case '{':
		return compact(raw)
	case 'n':
	default:
		p.fail(field, "must be an object")
	}
	return nil
}

func compact(raw jsontext.Value) []byte {
	raw = raw.Clone()
	_ = raw.Compact() // fails only for what is not JSON
	return raw
}

// CompactMeta returns the meta object without white space, for the caller to
// keep, or an [*Error] of field meta that says why it is not one. No bytes at
// all are no object, and nil.
func CompactMeta(raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	p := newParser(raw)
	defer p.free()
	if deeper(raw, maxDepth) {
		return nil, invalid("meta", "is nested deeper than %d", maxDepth)
	}
	meta := p.meta("meta")
	if _, err := p.dec.ReadToken(); err != io.EOF {
		p.fail("", "something follows the object")
	}
	if p.err == nil {
		p.err = checkMetaSize(meta)
	}
	if p.err != nil {
		p.err.Field = "meta"
		return nil, p.err
	}
	return meta, nil
}

// list reads an array of at most limit items, never nil unless it was null.
func list[T any](p *parser, field string, limit int, item func(*parser) T) []T {
	if p.dec.PeekKind() != '[' {
		if p.value().Kind() != 'n' {
			p.fail(field, "must be an array")
		}
		return nil
	}
	if _, err := p.dec.ReadToken(); err != nil {
		p.broken(err)
		return nil
	}
	all := []T{}
	for p.dec.PeekKind() != ']' && !p.over {
		if len(all) == limit {
			p.fail(field, "are more than %d", limit)
			p.value() // read on for the ref, keep nothing
			continue
		}
		p.list, p.item = field, len(all)
		all = append(all, item(p))
		p.list = ""
	}
	if p.over {
		return nil
	}
	if _, err := p.dec.ReadToken(); err != nil {
		p.broken(err)
	}
	return all
}

// isObject reports whether an object comes next, and reads over what else it
// may be.
func (p *parser) isObject() bool {
	if p.dec.PeekKind() == '{' {
		return true
	}
	p.value()
	p.fail("", "must be an object")
	return false
}

// itemField names a field of an item of a list, or the item.
func itemField(list string, i int, field string) string {
	if field == "" {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return fmt.Sprintf("%s[%d].%s", list, i, field)
}
