package memory

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// nonces remembers who sent what, for NonceTTL. It outlives the messages:
// their hard deletion and their trimming too. A busy room has many of them,
// so what is kept of each is small and holds no pointers.
type nonces struct {
	sent   queue[sent]
	popped int64 // how many have left the queue: places in it count from there
	places index[nonceKey]

	// trimmed is what must be known to answer once more for messages that are
	// no longer kept, a part of sent in the same order.
	trimmed queue[stub]
}

type sent struct {
	key nonceKey
	at  time.Duration // since the Store was made
	seq int64
}

type stub struct {
	seq, firstRev, created int64 // created in Unix milliseconds
	id                     string
	kind                   chat.MessageKind
}

// nonceKey stands for a user and a nonce: two hashes under two secret seeds.
// That two pairs ever meet in all 128 bits is less likely than that the
// memory fails.
type nonceKey [2]uint64

func (o *settled) nonceKey(user, nonce string) nonceKey {
	pair := [2]string{user, nonce}
	return nonceKey{maphash.Comparable(o.seeds[0], pair), maphash.Comparable(o.seeds[1], pair)}
}

func (n *nonces) add(now time.Duration, key nonceKey, seq int64) {
	n.places.put(key, n.popped+int64(n.sent.len()))
	n.sent.push(sent{key, now, seq})
}

// find returns the seq of what was sent, 0 if that is not known, or no longer.
func (n *nonces) find(o *settled, now time.Duration, key nonceKey) int64 {
	if n == nil {
		return 0
	}
	i, ok := n.places.get(key)
	if !ok {
		return 0
	}
	s := n.sent.items()[i-n.popped]
	if now-s.at > o.NonceTTL {
		return 0
	}
	return s.seq
}

// expire drops nonces that are too old, at most so many.
func (n *nonces) expire(o *settled, now time.Duration, most int) {
	for ; n != nil && most > 0 && n.sent.len() > 0; most-- {
		s := n.sent.items()[0]
		if now-s.at <= o.NonceTTL {
			return
		}
		if i, _ := n.places.get(s.key); i == n.popped { // not sent anew since
			n.places.drop(s.key)
		}
		if n.trimmed.len() > 0 && n.trimmed.items()[0].seq == s.seq {
			n.trimmed.pop()
		}
		n.sent.pop()
		n.popped++
	}
}

// keep notes m, which is about to be trimmed, if its nonce is still known.
func (n *nonces) keep(m *chat.Message) {
	if n == nil {
		return
	}
	if _, ok := slices.BinarySearchFunc(n.sent.items(), m.Seq, func(s sent, seq int64) int {
		return cmp.Compare(s.seq, seq)
	}); ok {
		n.trimmed.push(stub{m.Seq, m.FirstRev, m.CreatedAt.UnixMilli(), m.ID, m.Kind})
	}
}

// again is what a retry of a trimmed message is told: enough to acknowledge it.
func (n *nonces) again(seq int64, retry *chat.Message, room string) chat.Message {
	m := chat.Message{Room: room, Seq: seq, User: retry.User, Nonce: retry.Nonce}
	i, ok := slices.BinarySearchFunc(n.trimmed.items(), seq, func(s stub, seq int64) int {
		return cmp.Compare(s.seq, seq)
	})
	if ok {
		s := n.trimmed.items()[i]
		m.ID, m.Kind, m.Rev, m.FirstRev = s.id, s.kind, s.firstRev, s.firstRev
		m.CreatedAt = time.UnixMilli(s.created).UTC()
	}
	return m
}
