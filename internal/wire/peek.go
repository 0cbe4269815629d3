package wire

import "strconv"

// Peeked is what [Peek] finds. The slices point into the payload, save those
// of strings that were written with escapes.
type Peeked struct {
	Type, Room, Ref, Nonce, CreatedAt []byte
	Seq, Rev                          int64
}

// Peek reads the fields that a load generator needs of a server's frame,
// without the cost of decoding it. It walks the whole object, so that a field
// inside another is never taken for the frame's own, but it trusts the server:
// ok says that there is one object from end to end, not that all of it is
// JSON. It allocates nothing unless a string holds an escape.
func Peek(payload []byte) (found Peeked, ok bool) {
	s := scan{b: payload}
	for name, value := range s.members {
		found.set(name, value)
	}
	return found, s.done
}

func (p *Peeked) set(name, value []byte) {
	switch string(name) {
	case "type":
		p.Type = text(value)
	case "room":
		p.Room = text(value)
	case "ref":
		p.Ref = text(value)
	case "nonce":
		p.Nonce = text(value)
	case "created_at":
		p.CreatedAt = text(value)
	case "seq":
		p.Seq = number(value)
	case "rev":
		p.Rev = number(value)
	}
}

// text is what a string says; nil for any other value.
func text(value []byte) []byte {
	if value[0] != '"' {
		return nil
	}
	return unquote(value)
}

// number is an integer; 0 for any other value.
func number(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
