package redis

import (
	"encoding/binary"

	"github.com/gabblehq/chat"
)

// Kinds of what encodeStates lists.
const (
	stateRoom = iota
	stateOld  // a message of before, by its seq
	stateNew  // a message of the plan, by its place among them
)

// encodeStates writes what a hint tells of the changes, each at its own rev in
// the state that it had then, all counted from the facts' head; empty where
// that is too much. The script puts the head before it.
func encodeStates(p *plan) []byte {
	var b []byte
	for i := range p.states {
		st := &p.states[i]
		b = binary.AppendUvarint(b, uint64(st.rev-p.head.Rev))
		switch m := st.message; {
		case m == nil:
			b = append(b, stateRoom)
			b = putString(b, string(encodeRoom(st.room)))
		case m.Seq > p.head.Seq:
			b = append(b, stateNew)
			b = binary.AppendUvarint(b, uint64(m.Seq-p.head.Seq))
			b = binary.AppendUvarint(b, uint64(m.FirstRev-p.head.Rev))
			b = putString(b, string(encodeMessage(m)))
		default:
			b = append(b, stateOld)
			b = binary.AppendUvarint(b, uint64(m.Seq))
			b = binary.AppendUvarint(b, uint64(m.FirstRev))
			b = putString(b, string(encodeMessage(m)))
		}
		if len(b) > maxHint {
			return nil
		}
	}
	return b
}

// moved is a hint as append.lua sends it.
type moved struct {
	number int64
	room   string
	roomID string
	epoch  string
	after  int64 // head before
	s0     int64 // seq of the head before
	rev    int64
	seq    int64
	states string
}

// parseMoved reads "number epoch after s0 rev seq #room #id room id states".
func parseMoved(payload string) (moved, bool) {
	r := reader{rest: payload}
	var h moved
	h.number = r.number()
	h.epoch = r.word()
	h.after, h.s0, h.rev, h.seq = r.number(), r.number(), r.number(), r.number()
	room, id := r.number(), r.number()
	h.room, h.roomID = r.take(uint64(room)), r.take(uint64(id))
	h.states = r.rest
	return h, !r.bad
}

// hint is what listeners are told.
func (h *moved) hint() chat.Hint {
	out := chat.Hint{Room: h.room, Head: chat.Position{Epoch: h.epoch, Rev: h.rev, Seq: h.seq}, After: h.after}
	if h.states != "" {
		out.Entries = h.entries
	}
	return out
}

// entries decodes what the hint carries.
func (h *moved) entries() ([]chat.Entry, error) {
	var entries []chat.Entry
	for r := (reader{rest: h.states}); r.rest != ""; {
		e, ok := h.entry(&r)
		if !ok {
			return nil, errCorrupt
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (h *moved) entry(r *reader) (chat.Entry, bool) {
	rev := h.after + int64(r.uvarint())
	kind := r.take(1)
	if r.bad {
		return chat.Entry{}, false
	}
	if kind[0] == stateRoom {
		info, err := decodeRoom(r.string())
		info.Rev = rev
		return chat.Entry{Rev: rev, Room: &info}, err == nil && !r.bad
	}
	seq, first := int64(r.uvarint()), int64(r.uvarint())
	if kind[0] == stateNew {
		seq += h.s0
		first += h.after
	}
	m, err := decodeMessage(r.string())
	m.Room, m.Seq, m.FirstRev, m.Rev = h.roomID, seq, first, rev
	return chat.Entry{Rev: rev, Message: &m}, err == nil && !r.bad
}
