package main

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// room is a room as it stands. Messages and settings in it are never written
// to: a newer state takes the place of the older one.
type room struct {
	epoch string
	rev   int64

	info     *chat.RoomInfo  // nil: the room does not exist
	messages []*chat.Message // in the order of seq, which begins at 1
	seqs     map[string]int64
	nonces   map[send]int64 // to seq
	log      []step         // each message and the settings once, by rev
}

// send is what a retry has in common with the first try.
type send struct{ user, nonce string }

// step is where a thing has last changed.
type step struct {
	rev int64
	seq int64 // 0: the settings
}

var (
	errNoRoom    = &chat.Error{Code: chat.CodeNotFound, Message: "no such room"}
	errNoMessage = &chat.Error{Code: chat.CodeNotFound, Message: "no such message"}
	errRoomThere = &chat.Error{Code: chat.CodeConflict, Message: "the room exists already"}
	errIDTaken   = &chat.Error{Code: chat.CodeConflict, Message: "a message has this id already", Field: "id"}
	errChange    = &chat.Error{Code: chat.CodeInvalid, Message: "not a kind of change"}
)

func newRoom() *room {
	return &room{seqs: make(map[string]int64), nonces: make(map[send]int64)}
}

func (r *room) exists() bool { return r.info != nil }

func (r *room) head() chat.Position {
	return chat.Position{Epoch: r.epoch, Rev: r.rev, Seq: int64(len(r.messages))}
}

// message returns nil if there is none.
func (r *room) message(id string) *chat.Message {
	if seq := r.seqs[id]; seq > 0 {
		return r.messages[seq-1]
	}
	return nil
}

// plan answers a change and returns what is to be written because of it, if
// anything is. It leaves the room as it is.
func (r *room) plan(c *chat.Change, res *chat.Result) (rec record, changed bool) {
	switch {
	case c.Kind == chat.ChangeCreateRoom:
		if r.exists() {
			res.Err, res.Room = errRoomThere, *copyRoom(r.info)
			return record{}, false
		}
		rec.Epoch = rand.Text()
		info := c.Room
		info.CreatedAt = c.At.UTC().Truncate(time.Millisecond)
		rec.setRoom(info, r.rev+1, res)
		return rec, true
	case !r.exists():
		res.Err = errNoRoom
		return record{}, false
	case c.Kind == chat.ChangeUpdateRoom:
		info, changed := c.UpdateRoom(*r.info)
		if !changed {
			res.Unchanged, res.Room = true, *copyRoom(&info)
			return record{}, false
		}
		rec.setRoom(info, r.rev+1, res)
		return rec, true
	case c.Kind == chat.ChangeCreate:
		return r.planCreate(c, res)
	case c.Kind == chat.ChangeEdit, c.Kind == chat.ChangeDelete:
		return r.planRevision(c, res)
	}
	res.Err = errChange
	return record{}, false
}

func (r *room) planCreate(c *chat.Change, res *chat.Result) (rec record, changed bool) {
	m := c.Message
	if seq := r.nonces[send{m.User, m.Nonce}]; m.Nonce != "" && seq > 0 {
		res.Duplicate, res.Message = true, *copyMessage(r.messages[seq-1])
		return record{}, false
	}
	if r.message(m.ID) != nil {
		res.Err = errIDTaken
		return record{}, false
	}
	m.Room, m.Seq, m.FirstRev = r.info.ID, int64(len(r.messages))+1, r.rev+1
	m.CreatedAt = c.At.UTC().Truncate(time.Millisecond)
	m.EditedAt, m.DeletedAt = time.Time{}, time.Time{}
	rec.setMessage(m, r.rev+1, res)
	return rec, true
}

func (r *room) planRevision(c *chat.Change, res *chat.Result) (rec record, changed bool) {
	old := r.message(c.Message.ID)
	if old == nil || c.Kind == chat.ChangeEdit && old.Deleted() {
		res.Err = errNoMessage
		return record{}, false
	}
	var m chat.Message
	if c.Kind == chat.ChangeDelete {
		m, changed = c.Delete(*old)
	} else if m, changed, res.Err = c.Edit(*old); res.Err != nil {
		return record{}, false
	}
	if !changed {
		res.Unchanged, res.Message = true, *copyMessage(&m)
		return record{}, false
	}
	rec.setMessage(m, r.rev+1, res)
	return rec, true
}

// apply takes a record into the room. This is all that ever changes one,
// whether the record is new or read from the file.
func (r *room) apply(rec record) {
	if rec.Epoch != "" {
		r.epoch = rec.Epoch
	}
	if info := rec.info(); info != nil {
		if r.exists() {
			r.supersede(r.info.Rev)
		}
		r.info = info
		r.advance(info.Rev, 0)
	}
	if m := rec.message(); m != nil {
		if old := r.message(m.ID); old != nil {
			r.supersede(old.Rev)
			r.messages[m.Seq-1] = m
		} else {
			r.messages = append(r.messages, m)
			r.seqs[m.ID] = m.Seq
			if m.Nonce != "" {
				r.nonces[send{m.User, m.Nonce}] = m.Seq
			}
		}
		r.advance(m.Rev, m.Seq)
	}
}

// take applies a record and adds it to what is to be written.
func (r *room) take(line []record, rec record) []record {
	r.apply(rec)
	return append(line, rec)
}

func (r *room) advance(rev, seq int64) {
	r.rev = rev
	r.log = append(r.log, step{rev, seq})
}

func (r *room) supersede(rev int64) {
	i := r.find(rev)
	r.log = slices.Delete(r.log, i, i+1)
}

// find returns the place of the first step from rev on.
func (r *room) find(rev int64) int {
	i, _ := slices.BinarySearchFunc(r.log, rev, func(s step, rev int64) int { return cmp.Compare(s.rev, rev) })
	return i
}

func (r *room) changes(after int64, limit int) chat.Page {
	p := chat.Page{Head: r.head(), Room: r.info, Through: r.rev}
	if after >= r.rev {
		return p
	}
	steps := r.log[r.find(max(after, 0)+1):]
	if limit = max(limit, 0); len(steps) > limit {
		steps, p.More = steps[:limit], true
		p.Through = max(after, 0)
	}
	for _, s := range steps {
		e := chat.Entry{Rev: s.rev}
		if s.seq > 0 {
			e.Message = copyMessage(r.messages[s.seq-1])
		} else {
			e.Room = copyRoom(r.info)
		}
		p.Entries = append(p.Entries, e)
		if p.More {
			p.Through = s.rev
		}
	}
	return p
}

func (r *room) history(q chat.Query) chat.Page {
	p := chat.Page{Head: r.head(), Room: r.info}
	end := int64(len(r.messages))
	limit := int64(max(q.Limit, 0))
	// What is asked for are the seqs above from, up to and with to.
	var from, to int64
	switch {
	case q.ID != "":
		to = r.seqs[q.ID]
		from = to - min(1, to, limit)
	case q.Nonce != "":
		to = r.nonces[send{q.User, q.Nonce}]
		from = to - min(1, to, limit)
	case q.After > 0:
		from = min(q.After, end)
		to = from + min(limit, end-from)
		p.More = limit > 0 && to < end
	case q.Around > 0:
		at := min(q.Around, end+1)
		from = max(at-1-limit/2, 0)
		to = from + min(limit, end-from)
		from = max(to-limit, 0)
		p.More = limit > 0 && to < end
	default:
		to = end
		if q.Before > 0 {
			to = min(q.Before-1, end)
		}
		from = to - min(limit, to)
		p.More = limit > 0 && from > 0
	}
	for _, m := range r.messages[from:to] {
		p.Messages = append(p.Messages, *copyMessage(m))
	}
	return p
}
