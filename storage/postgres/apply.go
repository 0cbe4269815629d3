package postgres

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// state is a room in a transaction: what is known of it, and what is to be
// written.
type state struct {
	room
	exists  bool
	now     int64 // the life that goes on, see sqlLife
	renewed bool  // epoch, life and past have changed

	byID   map[string]*stored // of messages that changes are about
	byHash map[string]*stored

	added   []*stored // messages in the order of their seq
	changed []*stored
	was     chat.Position // the head before the transaction
	row     chat.Position // the head that the transaction has written so far
	resets  bool          // the settings have changed
	only    bool          // there is one change, and none after it
}

// stored is a message in its newest state.
type stored struct {
	chat.Message
	hash    []byte // nonceHash, also of what has been deleted
	fresh   bool   // not written yet
	touched bool   // in state.changed
	stub    bool   // all that is left of a trimmed message
}

func newEpoch() string { return rand.Text() }

func (st *state) position() chat.Position {
	return chat.Position{Epoch: st.epoch, Rev: st.rev, Seq: st.seq}
}

// moved reports whether the room is to be written.
func (st *state) moved() bool {
	return st.exists && (st.epoch != st.was.Epoch || st.rev != st.was.Rev || st.resets)
}

// apply answers the job's changes one by one, each on the state that the one
// before has left.
func (st *state) apply(j *job) {
	switch {
	case !st.exists:
	case j.newEpoch:
		st.past = nil
		st.renew()
	case st.behind(j):
		st.begin()
	}
	j.results = make([]chat.Result, len(j.changes))
	for i := range j.changes {
		c, res := &j.changes[i], &j.results[i]
		if err := check(c); err != nil {
			res.Err = err
		} else {
			st.change(c, res)
		}
		if st.exists {
			res.Position = st.position()
		}
	}
	j.head = st.position()
	if !st.exists && j.newEpoch {
		j.err = errNoRoom
	}
}

func (st *state) change(c *chat.Change, res *chat.Result) {
	switch {
	case c.Kind == chat.ChangeCreateRoom:
		st.create(c, res)
	case !st.exists:
		res.Err = errNoRoom
	case c.Kind == chat.ChangeUpdateRoom:
		info, changed := c.UpdateRoom(st.info)
		if res.Unchanged = !changed; changed {
			st.reset(info)
		}
		res.Room = copyRoom(st.info)
	case c.Kind == chat.ChangeCreate:
		st.add(c, res)
	case c.Kind == chat.ChangeEdit:
		st.edit(c, res)
	case c.Kind == chat.ChangeDelete:
		st.delete(c, res)
	default:
		res.Err = errChange
	}
}

func (st *state) create(c *chat.Change, res *chat.Result) {
	if st.exists {
		res.Err, res.Room = errRoomThere, copyRoom(st.info)
		return
	}
	st.exists = true
	info := c.Room
	info.CreatedAt = stamp(c.At)
	st.reset(info)
	res.Room = copyRoom(st.info)
}

func (st *state) reset(info chat.RoomInfo) {
	st.step()
	info.Rev = st.rev
	st.info, st.resets = info, true
}

func (st *state) add(c *chat.Change, res *chat.Result) {
	hash := nonceHash(c.Message.User, c.Message.Nonce)
	if old := st.byHash[string(hash)]; old != nil && hash != nil {
		res.Duplicate, res.Message = true, copyMessage(old.Message)
		if old.stub { // by whom it was is known only by the hash
			res.Message.Room, res.Message.User, res.Message.Nonce = st.info.ID, c.Message.User, c.Message.Nonce
		}
		return
	}
	if st.byID[c.Message.ID] != nil {
		res.Err = errIDTaken
		return
	}
	m := &stored{Message: c.Message, hash: hash, fresh: true}
	st.step()
	st.seq++
	m.Room, m.Seq, m.Rev, m.FirstRev = st.info.ID, st.seq, st.rev, st.rev
	m.CreatedAt = stamp(c.At)
	m.EditedAt, m.DeletedAt = time.Time{}, time.Time{}
	st.added = append(st.added, m)
	if !st.only {
		st.keep(m)
	}
	res.Message = copyMessage(m.Message)
}

// keep makes the message known to the changes that follow.
func (st *state) keep(m *stored) {
	if st.byID == nil {
		st.byID, st.byHash = make(map[string]*stored), make(map[string]*stored)
	}
	if old := st.byID[m.ID]; old != nil && !m.stub {
		m = old // it has been found by its id and by its nonce
	}
	if !m.stub {
		st.byID[m.ID] = m
	}
	if m.hash != nil {
		st.byHash[string(m.hash)] = m
	}
}

func (st *state) edit(c *chat.Change, res *chat.Result) {
	old := st.byID[c.Message.ID]
	if old == nil || old.Deleted() {
		res.Err = errNoMessage
		return
	}
	m, changed, err := c.Edit(old.Message)
	if err != nil {
		res.Err = err
		return
	}
	st.replace(old, m, changed, res)
}

func (st *state) delete(c *chat.Change, res *chat.Result) {
	old := st.byID[c.Message.ID]
	if old == nil {
		res.Err = errNoMessage
		return
	}
	m, changed := c.Delete(old.Message)
	st.replace(old, m, changed, res)
}

func (st *state) replace(old *stored, m chat.Message, changed bool, res *chat.Result) {
	if res.Unchanged = !changed; changed {
		st.step()
		m.Rev = st.rev
		old.Message = m
		if !old.fresh && !old.touched {
			old.touched = true
			st.changed = append(st.changed, old)
		}
	}
	res.Message = copyMessage(old.Message)
}

// What is answered is the caller's, and not what the next change is applied to
// or what is written down.

func copyRoom(r chat.RoomInfo) chat.RoomInfo {
	r.Peers, r.Meta = slices.Clone(r.Peers), slices.Clone(r.Meta)
	return r
}

func copyMessage(m chat.Message) chat.Message {
	m.Mentions, m.Attachments, m.Meta = slices.Clone(m.Mentions), slices.Clone(m.Attachments), slices.Clone(m.Meta)
	for i := range m.Attachments {
		m.Attachments[i].Meta = slices.Clone(m.Attachments[i].Meta)
	}
	return m
}
