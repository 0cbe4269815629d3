package chat

import (
	"bytes"
	"slices"
	"time"
)

// What changes do to what is stored is the same in every store; these methods
// are for their authors. What they return shares memory with their arguments
// and with the change.

// Edit returns the message as the change, a ChangeEdit, leaves it, and whether
// that is any different. Rev is the caller's to set. A deleted message is not
// to be edited. The error, Result.Err then, is ErrConflict where what
// Change.Seen was decided on is not there any more.
func (c *Change) Edit(m Message) (Message, bool, error) {
	to := &c.Message
	if c.overtaken(&m) {
		return m, false, errOvertaken
	}
	changed := set(&m.Content, &to.Content)
	if to.Mentions != nil && !slices.Equal(to.Mentions, m.Mentions) {
		m.Mentions, changed = to.Mentions, true
	}
	if to.Attachments != nil && !slices.EqualFunc(to.Attachments, m.Attachments, sameAttachment) {
		m.Attachments, changed = to.Attachments, true
	}
	if to.Meta != nil && !bytes.Equal(to.Meta, m.Meta) {
		m.Meta, changed = to.Meta, true
	}
	if changed {
		m.EditedAt = stamp(c.At)
	}
	return m, changed, nil
}

var errOvertaken = &Error{Code: CodeConflict, Message: "the message has been edited meanwhile"}

// overtaken reports whether what the edit leaves alone is other than it was when the
// edit was looked at.
func (c *Change) overtaken(m *Message) bool {
	to, seen := &c.Message, c.Seen
	return seen != nil &&
		(to.Mentions == nil && !slices.Equal(m.Mentions, seen.Mentions) ||
			to.Attachments == nil && !slices.EqualFunc(m.Attachments, seen.Attachments, sameAttachment) ||
			to.Meta == nil && !bytes.Equal(m.Meta, seen.Meta))
}

// Delete returns the message as the change, a ChangeDelete, leaves it, and
// whether that is any different. Rev is the caller's to set.
func (c *Change) Delete(m Message) (Message, bool) {
	d := Message{
		ID: m.ID, Room: m.Room, Seq: m.Seq, Rev: m.Rev, FirstRev: m.FirstRev,
		User: m.User, Kind: m.Kind, Nonce: m.Nonce,
		CreatedAt: m.CreatedAt, EditedAt: m.EditedAt, DeletedAt: m.DeletedAt,
	}
	if c.Hard {
		d.User, d.Nonce = "", ""
	}
	if m.Deleted() && d.User == m.User && d.Nonce == m.Nonce {
		return m, false
	}
	if !m.Deleted() {
		d.DeletedAt = stamp(c.At)
	}
	return d, true
}

// UpdateRoom returns the settings as the change, a ChangeUpdateRoom, leaves
// them, and whether that is any different. Rev is the caller's to set.
func (c *Change) UpdateRoom(info RoomInfo) (RoomInfo, bool) {
	u := &c.Update
	changed := set(&info.Title, u.Title)
	changed = set(&info.Topic, u.Topic) || changed
	changed = set(&info.Avatar, u.Avatar) || changed
	if u.Meta != nil && !bytes.Equal(u.Meta, info.Meta) {
		info.Meta, changed = u.Meta, true
	}
	return info, changed
}

func set(to, from *string) bool {
	if from == nil || *from == *to {
		return false
	}
	*to = *from
	return true
}

func sameAttachment(a, b Attachment) bool {
	return a.URL == b.URL && a.Name == b.Name && a.Type == b.Type && a.Size == b.Size &&
		a.Width == b.Width && a.Height == b.Height && bytes.Equal(a.Meta, b.Meta)
}

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
