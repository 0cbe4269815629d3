package memory

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

// room is one log. Stored messages and settings are never written to again: a
// change puts a new copy in the place of the old one.
type room struct {
	mu   sync.RWMutex
	gone bool // removed from the Store; whoever still holds it looks again

	epoch string
	rev   int64
	seq   int64
	floor int64 // highest FirstRev that has been trimmed

	info *chat.RoomInfo // nil only before the room is made
	log  changelog

	// Nil before the first message: most rooms that idle have none.
	msgs   *queue[*chat.Message]
	byID   *index[string] // id to seq
	nonces *nonces
}

var (
	errNoRoom    = &chat.Error{Code: chat.CodeNotFound, Message: "no such room"}
	errNoMessage = &chat.Error{Code: chat.CodeNotFound, Message: "no such message"}
	errRoomThere = &chat.Error{Code: chat.CodeConflict, Message: "the room exists already"}
	errIDTaken   = &chat.Error{Code: chat.CodeConflict, Message: "a message has this id already", Field: "id"}
	errChange    = &chat.Error{Code: chat.CodeInvalid, Message: "not a kind of change"}
)

func newEpoch() string { return rand.Text() }

func (r *room) head() chat.Position {
	return chat.Position{Epoch: r.epoch, Rev: r.rev, Seq: r.seq}
}

// apply answers the changes one by one, each on the state that the one before
// has left.
func (r *room) apply(o *settled, now time.Duration, changes []chat.Change) []chat.Result {
	results := make([]chat.Result, len(changes))
	for i := range changes {
		c, res := &changes[i], &results[i]
		switch {
		case c.Kind == chat.ChangeCreateRoom:
			r.create(c, res)
		case r.info == nil:
			res.Err = errNoRoom
			continue
		case c.Kind == chat.ChangeUpdateRoom:
			r.update(c, res)
		case c.Kind == chat.ChangeCreate:
			r.add(o, now, c, res)
		case c.Kind == chat.ChangeEdit:
			r.edit(c, res)
		case c.Kind == chat.ChangeDelete:
			r.delete(c, res)
		default:
			res.Err = errChange
		}
		res.Position = r.head()
	}
	r.trim(o)
	return results
}

func (r *room) create(c *chat.Change, res *chat.Result) {
	if r.info != nil {
		res.Err, res.Room = errRoomThere, cloneRoom(r.info)
		return
	}
	info := cloneRoom(&c.Room)
	info.CreatedAt = stamp(c.At)
	r.setInfo(&info, res)
}

func (r *room) update(c *chat.Change, res *chat.Result) {
	info, changed := c.UpdateRoom(*r.info)
	if !changed {
		res.Unchanged, res.Room = true, cloneRoom(r.info)
		return
	}
	info = cloneRoom(&info)
	r.setInfo(&info, res)
}

func (r *room) setInfo(info *chat.RoomInfo, res *chat.Result) {
	if r.info != nil {
		r.log.supersede(r.info.Rev)
	}
	r.rev++
	info.Rev = r.rev
	r.info = info
	r.log.add(r.rev, settings)
	res.Room = cloneRoom(info)
}

func (r *room) add(o *settled, now time.Duration, c *chat.Change, res *chat.Result) {
	r.nonces.expire(o, now, 8) // more than are added, so that they cannot pile up
	var key nonceKey
	if c.Message.Nonce != "" {
		key = o.nonceKey(c.Message.User, c.Message.Nonce)
		if seq := r.nonces.find(o, now, key); seq > 0 {
			res.Duplicate = true
			if m := r.bySeq(seq); m != nil {
				copyMessage(&res.Message, m)
			} else {
				res.Message = r.nonces.again(seq, &c.Message, r.info.ID)
			}
			return
		}
	}
	if _, taken := r.byID.get(c.Message.ID); taken {
		res.Err = errIDTaken
		return
	}
	r.seq++
	m := new(chat.Message)
	copyMessage(m, &c.Message)
	m.Room, m.Seq, m.FirstRev = r.info.ID, r.seq, r.rev+1
	m.CreatedAt, m.EditedAt, m.DeletedAt = stamp(c.At), time.Time{}, time.Time{}
	if r.msgs == nil {
		r.msgs, r.byID = &queue[*chat.Message]{}, &index[string]{}
	}
	r.msgs.push(nil) // put fills it
	r.byID.put(m.ID, m.Seq)
	if m.Nonce != "" {
		if r.nonces == nil {
			r.nonces = &nonces{}
		}
		r.nonces.add(now, key, m.Seq)
	}
	r.put(m, res)
}

func (r *room) edit(c *chat.Change, res *chat.Result) {
	old := r.message(c.Message.ID)
	if old == nil || old.Deleted() {
		res.Err = errNoMessage
		return
	}
	m, changed, err := c.Edit(*old)
	if err != nil {
		res.Err = err
		return
	}
	if !changed {
		res.Unchanged = true
		copyMessage(&res.Message, old)
		return
	}
	m.Mentions, m.Attachments, m.Meta = cloneStrings(m.Mentions), cloneAttachments(m.Attachments), cloneBytes(m.Meta)
	r.log.supersede(old.Rev)
	r.put(&m, res)
}

func (r *room) delete(c *chat.Change, res *chat.Result) {
	old := r.message(c.Message.ID)
	if old == nil {
		res.Err = errNoMessage
		return
	}
	m, changed := c.Delete(*old)
	if !changed {
		res.Unchanged = true
		copyMessage(&res.Message, old)
		return
	}
	r.log.supersede(old.Rev)
	r.put(&m, res)
}

// put makes m the newest state of the message in its place.
func (r *room) put(m *chat.Message, res *chat.Result) {
	r.rev++
	m.Rev = r.rev
	r.msgs.items()[m.Seq-r.base()] = m
	r.log.add(m.Rev, m.Seq)
	copyMessage(&res.Message, m)
}

// base is the seq of the oldest message kept, or the next seq if none is.
func (r *room) base() int64 { return r.seq + 1 - int64(r.msgs.len()) }

// bySeq returns nil for what is not there, or no longer.
func (r *room) bySeq(seq int64) *chat.Message {
	if seq < r.base() || seq > r.seq {
		return nil
	}
	return r.msgs.items()[seq-r.base()]
}

func (r *room) message(id string) *chat.Message {
	seq, ok := r.byID.get(id)
	if !ok {
		return nil
	}
	return r.bySeq(seq)
}

// aged reports whether a message has outlived MaxAge.
func (r *room) aged(o *settled) bool {
	return o.MaxAge > 0 && r.msgs.len() > 0 && o.clock.Now().Sub(r.msgs.items()[0].CreatedAt) > o.MaxAge
}

// trim lets go of the oldest messages that are too many or too old.
func (r *room) trim(o *settled) {
	for o.MaxMessages > 0 && r.msgs.len() > o.MaxMessages || r.aged(o) {
		r.drop()
	}
}

// drop lets go of the oldest message.
func (r *room) drop() {
	m := r.msgs.items()[0]
	r.floor = m.FirstRev
	r.nonces.keep(m)
	r.log.supersede(m.Rev)
	r.byID.drop(m.ID)
	r.msgs.pop()
}
