package memory

import (
	"cmp"
	"slices"

	"github.com/gabblehq/chat"
)

// changelog is what has changed, by rev: each message and the settings once.
// A superseded entry is only marked, and goes when it reaches an end or when
// a fifth of the log is such: adding stays cheap, and a reader passes over few.
type changelog struct {
	queue[change]
	dead int
}

type change struct {
	rev int64
	seq int64 // of the message, or one of these
}

const (
	settings   = 0
	superseded = -1
)

func (l *changelog) add(rev, seq int64) { l.push(change{rev, seq}) }

// find returns the place of the first entry from rev on.
func (l *changelog) find(rev int64) int {
	i, _ := slices.BinarySearchFunc(l.items(), rev, func(c change, rev int64) int {
		return cmp.Compare(c.rev, rev)
	})
	return i
}

// supersede marks the entry with this rev.
func (l *changelog) supersede(rev int64) {
	l.items()[l.find(rev)].seq = superseded
	l.dead++
	for l.len() > 0 && l.items()[0].seq == superseded {
		l.pop()
		l.dead--
	}
	for l.len() > 0 && l.buf[len(l.buf)-1].seq == superseded {
		l.buf = l.buf[:len(l.buf)-1]
		l.dead--
	}
	if l.dead > 32 && l.dead > l.len()/5 {
		l.replace(slices.DeleteFunc(l.items(), func(c change) bool { return c.seq == superseded }))
		l.dead = 0
	}
}

// page is an empty page of the room as it is.
func (r *room) page() chat.Page {
	return chat.Page{Head: r.head(), Room: r.info, Floor: r.floor}
}

func (r *room) changes(after int64, limit int) chat.Page {
	p := r.page()
	after = max(after, 0)
	if after >= r.rev {
		// Never beyond the head: what comes next is not to be passed over.
		p.Through = r.rev
		return p
	}
	if limit <= 0 {
		p.Through, p.More = after, true
		return p
	}
	rest := r.log.items()[r.log.find(after+1):]
	n := min(limit, len(rest))
	p.Entries = make([]chat.Entry, 0, n)
	msgs := make([]chat.Message, 0, n) // all in one allocation
	for _, c := range rest {
		if c.seq == superseded {
			continue
		}
		if len(p.Entries) == limit {
			p.Through, p.More = p.Entries[limit-1].Rev, true
			return p
		}
		e := chat.Entry{Rev: c.rev}
		if c.seq == settings {
			info := cloneRoom(r.info)
			e.Room = &info
		} else {
			msgs = msgs[:len(msgs)+1]
			e.Message = &msgs[len(msgs)-1]
			copyMessage(e.Message, r.bySeq(c.seq))
		}
		p.Entries = append(p.Entries, e)
	}
	p.Through = r.rev
	return p
}
