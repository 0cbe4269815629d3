package redis

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/gabblehq/chat"
)

// facts are what a plan rests on: all of the room that its changes have to do
// with. The script checks what the plan has made of them.
type facts struct {
	// assumed: nothing has been read; the room is there, and of the ids and
	// nonces none.
	assumed bool

	exists  bool
	removed bool // somebody has removed it, and that is remembered
	head    chat.Position
	roomID  string
	info    *chat.RoomInfo

	byID    map[string]*stored
	byNonce map[nonceKey]*nonce
}

// stored is a message as the plan so far leaves it.
type stored struct {
	chat.Message
	was   int64 // its rev in the store; 0: it is not there yet
	moved bool  // the plan has written to it
	key   nonceKey
}

// nonce is what is known of a send.
type nonce struct {
	message *stored      // nil: trimmed
	stub    chat.Message // then: what is left
}

// nonceKey stands for a user and a nonce. That two pairs meet in 128 bits of
// SHA-256 is out of reach; the length goes first, so that no two pairs read
// the same. Empty is none.
type nonceKey string

func keyOf(user, nonce string) nonceKey {
	if nonce == "" {
		return ""
	}
	b := make([]byte, 8, 8+len(user)+len(nonce))
	binary.BigEndian.PutUint64(b, uint64(len(user)))
	b = append(append(b, user...), nonce...)
	sum := sha256.Sum256(b)
	return nonceKey(sum[:16])
}

// assumption is what can be planned on without having read anything: of
// changes that only add, or that begin by making the room. Others are nil.
func assumption(changes []chat.Change) *facts {
	if len(changes) == 0 {
		return nil
	}
	if changes[0].Kind == chat.ChangeCreateRoom {
		return &facts{assumed: true}
	}
	for i := range changes {
		if changes[i].Kind != chat.ChangeCreate {
			return nil
		}
	}
	return &facts{assumed: true, exists: true}
}

// parseFacts reads append.lua's other reply: the ids and nonces are those that
// were asked for.
func (s *Store) parseFacts(key string, reply []any, ids []string, nonces []nonceKey) *facts {
	f := &facts{
		exists:  text(reply[1]) != "",
		removed: number(reply[5]) != 0,
		head:    chat.Position{Epoch: text(reply[1]), Rev: number(reply[2]), Seq: number(reply[3])},
		roomID:  text(reply[4]),
		byID:    make(map[string]*stored, len(ids)),
		byNonce: make(map[nonceKey]*nonce, len(nonces)),
	}
	if !f.exists {
		return f
	}
	f.info = s.settings(key, f.roomID, text(reply[6]))
	rest := reply[7:]
	bySeq := make(map[int64]*stored)
	add := func(seq int64, rec string) *stored {
		m := bySeq[seq]
		if m == nil {
			m = &stored{Message: s.message(key, f.roomID, seq, rec)}
			m.was = m.Rev
			bySeq[seq] = m
		}
		return m
	}
	for _, id := range ids {
		if rest[0] != nil {
			f.byID[id] = add(number(rest[0]), text(rest[1]))
		}
		rest = rest[2:]
	}
	for _, k := range nonces {
		if rest[0] != nil {
			seq, stub := cutStub(text(rest[0]))
			n := &nonce{stub: stub}
			if rest[1] != nil {
				n.message = add(seq, text(rest[1]))
				f.byID[n.message.ID] = n.message
			}
			f.byNonce[k] = n
		}
		rest = rest[2:]
	}
	return f
}

// cutStub reads "seq firstRev stub".
func cutStub(s string) (int64, chat.Message) {
	seqText, rest, _ := strings.Cut(s, " ")
	firstText, stub, _ := strings.Cut(rest, " ")
	var m chat.Message
	m.Seq, _ = parseInt(seqText)
	m.FirstRev, _ = parseInt(firstText)
	m.Rev = m.FirstRev
	decodeStub(stub, &m)
	return m.Seq, m
}
