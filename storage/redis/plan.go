package redis

import (
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// plan is what changes come to on given facts: the answers, and what is to be
// written. Revs and seqs are counted from the facts' head. Where the room has
// moved on meanwhile without touching the facts, they are shifted by that.
type plan struct {
	*facts
	known   chat.Position
	rev     int64
	seq     int64
	results []chat.Result

	making    bool
	infoMoved bool
	infoWas   int64
	fresh     []*stored // new messages, by seq
	old       []*stored // messages of before that are written to
	states    []state
}

// state is one change as watchers are told of it.
type state struct {
	rev     int64
	message *chat.Message
	room    *chat.RoomInfo
}

func newPlan(f *facts, known chat.Position, changes []chat.Change) *plan {
	p := &plan{facts: f, known: known, rev: f.head.Rev, seq: f.head.Seq, results: make([]chat.Result, len(changes))}
	if f.byID == nil {
		f.byID, f.byNonce = make(map[string]*stored), make(map[nonceKey]*nonce)
	}
	if f.info != nil {
		p.infoWas = f.info.Rev
	}
	for i := range changes {
		p.apply(&changes[i], &p.results[i])
	}
	return p
}

// writes reports whether there is anything to write.
func (p *plan) writes() bool { return p.rev > p.head.Rev }

func (p *plan) apply(c *chat.Change, res *chat.Result) {
	switch {
	case c.Kind == chat.ChangeCreateRoom:
		p.createRoom(c, res)
	case !p.exists:
		res.Err = p.missing()
		return
	case c.Kind == chat.ChangeUpdateRoom:
		p.updateRoom(c, res)
	case c.Kind == chat.ChangeCreate:
		p.add(c, res)
	case c.Kind == chat.ChangeEdit:
		p.edit(c, res)
	case c.Kind == chat.ChangeDelete:
		p.delete(c, res)
	default:
		res.Err = errChange
	}
	res.Position = chat.Position{Rev: p.rev, Seq: p.seq} // the epoch follows
}

// missing is the failure of a change to a room that is not there.
func (p *plan) missing() error {
	if p.known != (chat.Position{}) && !p.removed {
		return chat.Errorf(chat.CodeNotFound, "%w", chat.ErrLost)
	}
	return errNoRoom
}

func (p *plan) createRoom(c *chat.Change, res *chat.Result) {
	if p.exists {
		res.Err, res.Room = errRoomThere, cloneRoom(*p.info)
		return
	}
	info := cloneRoom(c.Room)
	info.CreatedAt = stamp(c.At)
	p.making, p.exists, p.roomID = true, true, info.ID
	p.setInfo(info, res)
}

func (p *plan) updateRoom(c *chat.Change, res *chat.Result) {
	info, changed := c.UpdateRoom(*p.info)
	if !changed {
		res.Unchanged, res.Room = true, cloneRoom(*p.info)
		return
	}
	p.setInfo(cloneRoom(info), res)
}

func (p *plan) setInfo(info chat.RoomInfo, res *chat.Result) {
	p.rev++
	info.Rev = p.rev
	p.info, p.infoMoved = &info, true
	p.states = append(p.states, state{rev: p.rev, room: &info})
	res.Room = cloneRoom(info)
}

func (p *plan) add(c *chat.Change, res *chat.Result) {
	key := keyOf(c.Message.User, c.Message.Nonce)
	if n := p.byNonce[key]; key != "" && n != nil {
		res.Duplicate = true
		res.Message = n.stub
		if n.message != nil {
			res.Message = cloneMessage(n.message.Message)
		} else {
			res.Message.Room, res.Message.User, res.Message.Nonce = p.roomID, c.Message.User, c.Message.Nonce
		}
		return
	}
	if p.byID[c.Message.ID] != nil {
		res.Err = errIDTaken
		return
	}
	p.seq++
	m := &stored{Message: cloneMessage(c.Message), key: key, moved: true}
	m.Room, m.Seq, m.FirstRev = p.roomID, p.seq, p.rev+1
	m.CreatedAt, m.EditedAt, m.DeletedAt = stamp(c.At), time.Time{}, time.Time{}
	p.byID[m.ID] = m
	if key != "" {
		p.byNonce[key] = &nonce{message: m}
	}
	p.fresh = append(p.fresh, m)
	p.put(m, m.Message, res)
}

func (p *plan) edit(c *chat.Change, res *chat.Result) {
	m := p.byID[c.Message.ID]
	if m == nil || m.Deleted() {
		res.Err = errNoMessage
		return
	}
	to, changed, err := c.Edit(m.Message)
	if err != nil {
		res.Err = err
		return
	}
	p.change(m, to, changed, res)
}

func (p *plan) delete(c *chat.Change, res *chat.Result) {
	m := p.byID[c.Message.ID]
	if m == nil {
		res.Err = errNoMessage
		return
	}
	to, changed := c.Delete(m.Message)
	p.change(m, to, changed, res)
}

func (p *plan) change(m *stored, to chat.Message, changed bool, res *chat.Result) {
	if !changed {
		res.Unchanged, res.Message = true, cloneMessage(m.Message)
		return
	}
	if !m.moved {
		m.moved = true
		p.old = append(p.old, m)
	}
	p.put(m, cloneMessage(to), res)
}

// put makes to the newest state of m.
func (p *plan) put(m *stored, to chat.Message, res *chat.Result) {
	p.rev++
	to.Rev = p.rev
	m.Message = to
	p.states = append(p.states, state{rev: p.rev, message: &to})
	res.Message = cloneMessage(to)
}

// finish fills in what only the script knows: the epoch, and how far the room
// had moved on from the facts.
func (p *plan) finish(epoch, roomID string, rev, seq int64) []chat.Result {
	byRev, bySeq := rev-p.head.Rev, seq-p.head.Seq
	for i := range p.results {
		r := &p.results[i]
		if r.Position == (chat.Position{}) {
			continue
		}
		r.Position.Epoch = epoch
		r.Position.Rev += byRev
		r.Position.Seq += bySeq
		r.Room.Rev = p.shifted(r.Room.Rev, byRev)
		if m := &r.Message; m.ID != "" {
			m.Room = roomID
			m.Rev, m.FirstRev = p.shifted(m.Rev, byRev), p.shifted(m.FirstRev, byRev)
			if m.Seq > p.head.Seq {
				m.Seq += bySeq
			}
		}
	}
	return p.results
}

// shifted moves what this plan has numbered.
func (p *plan) shifted(rev, by int64) int64 {
	if rev > p.head.Rev {
		return rev + by
	}
	return rev
}

// What goes in and what comes out is copied. Empty slices become nil: one
// state for "none".

func cloneMessage(m chat.Message) chat.Message {
	m.Mentions = cloneSlice(m.Mentions)
	m.Attachments = cloneSlice(m.Attachments)
	for i := range m.Attachments {
		m.Attachments[i].Meta = cloneSlice(m.Attachments[i].Meta)
	}
	m.Meta = cloneSlice(m.Meta)
	return m
}

func cloneRoom(r chat.RoomInfo) chat.RoomInfo {
	r.Peers = cloneSlice(r.Peers)
	r.Meta = cloneSlice(r.Meta)
	return r
}

func cloneSlice[S ~[]E, E any](s S) S {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}
