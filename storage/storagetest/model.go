package storagetest

import (
	"bytes"
	"maps"
	"reflect"
	"slices"

	"github.com/gabblehq/chat"
)

// model is a room in the simplest way that the contract allows.
type model struct {
	epoch  string
	rev    int64
	room   chat.RoomInfo
	msgs   []chat.Message    // by seq
	nonces map[[2]string]int // to a place in msgs
}

// apply answers a change as a store has to.
func (m *model) apply(c chat.Change) chat.Result {
	var res chat.Result
	at := stamp(c.At)
	next := m.rev + 1
	switch c.Kind {
	case chat.ChangeCreateRoom:
		res.Err, res.Room = chat.ErrConflict, m.room
	case chat.ChangeUpdateRoom:
		was := m.room
		if c.Update.Title != nil {
			m.room.Title = *c.Update.Title
		}
		if c.Update.Meta != nil {
			m.room.Meta = c.Update.Meta
		}
		if res.Unchanged = reflect.DeepEqual(plainRoom(was), plainRoom(m.room)); !res.Unchanged {
			m.rev, m.room.Rev = next, next
		}
		res.Room = m.room
	case chat.ChangeCreate:
		key := [2]string{c.Message.User, c.Message.Nonce}
		if i, ok := m.nonces[key]; ok && c.Message.Nonce != "" {
			res.Duplicate, res.Message = true, m.msgs[i]
			break
		}
		msg := c.Message
		msg.Seq, msg.Rev, msg.FirstRev, msg.CreatedAt = int64(len(m.msgs))+1, next, next, at
		m.nonces[key] = len(m.msgs)
		m.msgs, m.rev, res.Message = append(m.msgs, msg), next, msg
	case chat.ChangeEdit, chat.ChangeDelete:
		i := slices.IndexFunc(m.msgs, func(x chat.Message) bool { return x.ID == c.Message.ID })
		if i < 0 || c.Kind == chat.ChangeEdit && m.msgs[i].Deleted() {
			res.Err = chat.ErrNotFound
			break
		}
		was := m.msgs[i]
		if c.Kind == chat.ChangeEdit {
			m.edit(&m.msgs[i], c.Message)
		} else {
			m.delete(&m.msgs[i], c)
		}
		if res.Unchanged = reflect.DeepEqual(plain(was), plain(m.msgs[i])); !res.Unchanged {
			m.msgs[i].Rev, m.rev = next, next
			if c.Kind == chat.ChangeEdit {
				m.msgs[i].EditedAt = at
			}
		}
		res.Message = m.msgs[i]
	}
	res.Position = m.head()
	return res
}

func (m *model) edit(msg *chat.Message, to chat.Message) {
	msg.Content = to.Content
	if to.Mentions != nil {
		msg.Mentions = to.Mentions
	}
	if to.Meta != nil {
		msg.Meta = bytes.Clone(to.Meta)
	}
}

func (m *model) delete(msg *chat.Message, c chat.Change) {
	at := msg.DeletedAt
	if at.IsZero() {
		at = stamp(c.At)
	}
	*msg = chat.Message{
		ID: msg.ID, Room: msg.Room, Seq: msg.Seq, Rev: msg.Rev, FirstRev: msg.FirstRev, User: msg.User,
		Kind: msg.Kind, Nonce: msg.Nonce, CreatedAt: msg.CreatedAt, EditedAt: msg.EditedAt, DeletedAt: at,
	}
	if c.Hard {
		msg.User, msg.Nonce = "", ""
	}
}

func (m *model) head() chat.Position {
	return chat.Position{Epoch: m.epoch, Rev: m.rev, Seq: int64(len(m.msgs))}
}

// entries is everything after a rev, in rev order; nil is the settings.
func (m *model) entries(after int64) []*chat.Message {
	byRev := map[int64]*chat.Message{}
	if m.room.Rev > after {
		byRev[m.room.Rev] = nil
	}
	for i := range m.msgs {
		if m.msgs[i].Rev > after {
			byRev[m.msgs[i].Rev] = &m.msgs[i]
		}
	}
	var out []*chat.Message
	for _, rev := range slices.Sorted(maps.Keys(byRev)) {
		out = append(out, byRev[rev])
	}
	return out
}
