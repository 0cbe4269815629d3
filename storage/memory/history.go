package memory

import (
	"time"

	"github.com/gabblehq/chat"
)

func (r *room) history(o *settled, now time.Duration, q chat.Query) chat.Page {
	p := r.page()
	if q.Limit <= 0 {
		return p
	}
	// From here on the half-open range [from, to) of seqs is what is asked
	// for, and [first, end) what there is.
	first, end := r.base(), r.seq+1
	limit := int64(q.Limit)
	var from, to int64
	switch {
	case q.ID != "":
		if m := r.message(q.ID); m != nil {
			from, to = m.Seq, m.Seq+1
		}
	case q.Nonce != "":
		if seq := r.nonces.find(o, now, o.nonceKey(q.User, q.Nonce)); seq >= first {
			from, to = seq, seq+1
		}
	case q.After > 0:
		from = clamp(q.After, first-1, end) + 1
		to = from + min(limit, max(end-from, 0))
		p.More = to < end
	case q.Around > 0:
		at := clamp(q.Around, first, end)
		from = max(at-limit/2, first)
		to = min(from+limit, end)
		from = max(to-limit, first)
		p.More = to < end
	default:
		to = end
		if q.Before > 0 {
			to = clamp(q.Before, first, end)
		}
		from = to - min(limit, to-first)
		p.More = from > first
	}
	if from < to {
		p.Messages = make([]chat.Message, to-from)
		for i, m := range r.msgs.items()[from-first : to-first] {
			copyMessage(&p.Messages[i], m)
		}
	}
	return p
}

func clamp(v, low, high int64) int64 { return min(max(v, low), high) }
