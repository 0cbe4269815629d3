package wire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep the value of one field may be nested.
const maxDepth = 16

// parser walks the tokens of one frame. jsontext sees to the grammar, UTF-8
// and duplicate names; the parser to what the fields mean.
//
// Of several mistakes the first is reported, but after one of meaning the walk
// goes on, so that a ref further on is found. After one of grammar it ends.
type parser struct {
	src  bytes.Buffer
	dec  jsontext.Decoder
	text []byte // the last name or string that had escapes in it
	list string // the list that is being walked, and the index of its item
	item int
	err  *Error
	over bool // the grammar is broken, the walk has ended

	large bool
}

// parsers keeps the decoders' memory from one frame to the next.
var parsers = sync.Pool{New: func() any { return new(parser) }}

func newParser(payload []byte) *parser {
	p := parsers.Get().(*parser)
	p.src = *bytes.NewBuffer(payload)
	p.large = len(payload) > 1<<14
	p.dec.Reset(&p.src)
	return p
}

// free lets go of the payload, which is the caller's.
func (p *parser) free() {
	if p.large {
		return // what it has grown to is not worth keeping
	}
	p.src = bytes.Buffer{}
	p.dec.Reset(&p.src)
	p.list, p.err, p.over = "", nil, false
	parsers.Put(p)
}

// verdict is what the walk and the rules say of the command together.
func (p *parser) verdict(c *Command) error {
	if p.err == nil {
		return c.Check()
	}
	p.err.refer(c.Ref)
	return p.err
}

func (p *parser) fail(field, format string, args ...any) {
	if p.err != nil {
		return
	}
	if p.list != "" {
		field = itemField(p.list, p.item, field)
	}
	p.err = invalid(field, format, args...)
}

// broken ends the walk. A mistake of grammar outranks those of meaning found
// before it.
func (p *parser) broken(err error) {
	if p.over {
		return
	}
	p.over, p.err, p.list = true, nil, ""
	syn, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		p.fail("", "is empty")
	case errors.Is(err, jsontext.ErrDuplicateName):
		p.fail(fieldOf(syn.JSONPointer), "is there twice")
	default:
		p.fail(fieldOf(syn.JSONPointer), "not JSON: %v after byte %d", syn.Err, syn.ByteOffset)
	}
}

// fieldOf writes a JSON pointer as the protocol names fields. What is inside
// a meta object or an unknown field is nobody's business but the client's.
func fieldOf(ptr jsontext.Pointer) string {
	var field []byte
	for tok := range ptr.Tokens() {
		if _, err := strconv.ParseUint(tok, 10, 32); err == nil && field != nil {
			field = append(append(append(field, '['), tok...), ']')
			continue
		}
		if len(field)+len(tok) > MaxID {
			break
		}
		if field != nil {
			field = append(field, '.')
		}
		field = append(field, tok...)
		if tok != "rooms" && tok != "attachments" && tok != "mentions" {
			break
		}
	}
	return string(field)
}

func (p *parser) command(c *Command) {
	if payload := p.src.Bytes(); deeper(payload, maxDepth+1) {
		p.tooDeep(c, payload)
		return
	}
	if p.dec.PeekKind() != '{' {
		if _, err := p.dec.ReadValue(); err != nil {
			p.broken(err)
		} else {
			p.fail("", "a frame is one JSON object")
		}
		return
	}
	for name := range p.names {
		p.field(c, name)
	}
	if p.over {
		return
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		p.over, p.err = true, nil
		p.fail("", "something follows the object")
	}
}

// tooDeep finds out which field is at fault, and the ref, without the decoder:
// it keeps books for every level of nesting, which is what makes it slow on
// such frames.
func (p *parser) tooDeep(c *Command, payload []byte) {
	field := ""
	s := scan{b: payload}
	for name, value := range s.members {
		if field == "" && deeper(value, maxDepth) {
			field = string(name[:min(len(name), MaxID)])
		}
		if string(name) == "ref" {
			c.Ref = string(text(value))
		}
	}
	p.fail(field, "is nested deeper than %d", maxDepth)
}
