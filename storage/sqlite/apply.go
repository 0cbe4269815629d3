package sqlite

import (
	"crypto/rand"
	"database/sql/driver"
	"slices"

	"github.com/gabblehq/chat"
)

func (w *writer) create(key string, r *roomState, c *change, res *chat.Result) (*roomState, error) {
	if r != nil {
		res.Err, res.Room = errRoomThere, copyRoom(r.info)
		return r, nil
	}
	if w.space.tight {
		return nil, errFull
	}
	info := copyRoom(&c.Room)
	info.CreatedAt, info.Rev = c.At, 1
	epoch := rand.Text()
	r = &roomState{key: key, info: &info, head: chat.Position{Epoch: epoch, Rev: 1}, life: w.life, oldest: 1}
	inserted, err := w.conn.exec(`INSERT INTO rooms (key, epoch, rev, id, kind, title, topic, avatar, peers, meta, created_by, created_at, life)
		VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		key, epoch, info.ID, string(info.Kind), info.Title, info.Topic, info.Avatar,
		encodeStrings(info.Peers), rawJSON(info.Meta), info.CreatedBy, millis(info.CreatedAt), r.life)
	if err != nil {
		return nil, err
	}
	if r.pk, err = inserted.LastInsertId(); err != nil {
		return nil, err
	}
	if _, err = w.conn.exec("INSERT INTO heads (room, rev, seq, floor) VALUES (?, 1, 0, 0)", r.pk); err != nil {
		return nil, err
	}
	w.rooms[key] = r
	res.Room = copyRoom(&info)
	return r, nil
}

func (w *writer) update(r *roomState, c *change, res *chat.Result) error {
	info, changed := c.UpdateRoom(*r.info)
	if !changed {
		res.Unchanged, res.Room = true, copyRoom(r.info)
		return nil
	}
	if w.space.tight {
		return errFull
	}
	info = copyRoom(&info)
	if err := w.step(r); err != nil {
		return err
	}
	info.Rev = r.head.Rev
	r.info = &info
	w.touch(r)
	res.Room = copyRoom(&info)
	_, err := w.conn.exec("UPDATE rooms SET rev = ?, title = ?, topic = ?, avatar = ?, meta = ? WHERE pk = ?",
		info.Rev, info.Title, info.Topic, info.Avatar, rawJSON(info.Meta), r.pk)
	return err
}

func (w *writer) add(r *roomState, c *change, res *chat.Result) error {
	known, err := w.known(r, c, res)
	if known || err != nil {
		return err
	}
	if w.space.tight {
		return errFull
	}
	if err := w.step(r); err != nil {
		return err
	}
	r.head.Seq++
	m := c.Message
	m.Room, m.Seq, m.Rev, m.FirstRev = r.info.ID, r.head.Seq, r.head.Rev, r.head.Rev
	res.Message = m
	w.inserts.add(r.pk, &m, c)
	w.touch(r)
	return nil
}

// known answers a message that need not or cannot be added. Only a careful
// writer looks for everything; the unique indexes see what another overlooks.
func (w *writer) known(r *roomState, c *change, res *chat.Result) (bool, error) {
	if w.careful {
		if err := w.inserts.flush(w.conn); err != nil {
			return false, err
		}
	}
	if c.nonceKey != nil {
		found, err := w.duplicate(r, c, res)
		if found || err != nil {
			return found, err
		}
	}
	if !w.careful {
		return false, nil
	}
	taken, err := w.conn.number("SELECT seq FROM messages WHERE room = ? AND id = ?", r.pk, c.Message.ID)
	if taken > 0 {
		res.Err = errIDTaken
	}
	return taken > 0, err
}

func (w *writer) duplicate(r *roomState, c *change, res *chat.Result) (found bool, err error) {
	if w.careful {
		found, err = w.conn.one(func(v []driver.Value) error {
			scanMessage(v, r.info.ID, &res.Message)
			return nil
		}, byNonce, r.pk, c.nonceKey)
	}
	if !found && err == nil && r.floor > 0 {
		found, err = w.conn.one(func(v []driver.Value) error {
			d := decoder{v: v}
			m := chat.Message{Room: r.info.ID, User: c.Message.User, Nonce: c.Message.Nonce}
			m.Seq, m.FirstRev, m.ID, m.Kind, m.CreatedAt = d.int(), d.int(), d.text(), chat.MessageKind(d.text()), d.time()
			m.Rev = m.FirstRev
			res.Message = m
			return nil
		}, "SELECT seq, first_rev, id, kind, created_at FROM trimmed WHERE room = ? AND nonce_key = ?", r.pk, c.nonceKey)
	}
	res.Duplicate = found && err == nil
	return found, err
}

const (
	byNonce = "SELECT " + messageColumns + " FROM messages WHERE room = ? AND nonce_key = ?"
	byID    = "SELECT " + messageColumns + " FROM messages WHERE room = ? AND id = ?"
)

// message reads what a change is about. sound is false of a damaged one.
func (w *writer) message(r *roomState, id string) (m chat.Message, found, sound bool, err error) {
	if err := w.inserts.flush(w.conn); err != nil {
		return m, false, false, err
	}
	found, err = w.conn.one(func(v []driver.Value) error {
		sound = scanMessage(v, r.info.ID, &m)
		return nil
	}, byID, r.pk, id)
	return m, found, sound, err
}

func (w *writer) edit(r *roomState, c *change, res *chat.Result) error {
	old, found, sound, err := w.message(r, c.Message.ID)
	switch {
	case err != nil:
		return err
	case found && !sound:
		res.Err = errDamaged
		return nil
	case !found || old.Deleted():
		res.Err = errNoMessage
		return nil
	}
	m, changed, refused := c.Edit(old)
	if refused != nil {
		res.Err = refused
		return nil
	}
	if changed && w.space.tight {
		return errFull
	}
	return w.put(r, m, changed, res)
}

func (w *writer) delete(r *roomState, c *change, res *chat.Result) error {
	m, found, sound, err := w.message(r, c.Message.ID)
	if err != nil {
		return err
	}
	if !found {
		res.Err = errNoMessage
		return nil
	}
	m, changed := c.Delete(m)
	if !sound { // writing it anew mends it
		m.DeletedAt, changed = c.At, true
	}
	return w.put(r, m, changed, res)
}

// put makes m the newest state of the message in its place. Its key of the
// nonce stays as it is.
func (w *writer) put(r *roomState, m chat.Message, changed bool, res *chat.Result) error {
	if !changed {
		res.Unchanged, res.Message = true, m
		return nil
	}
	if err := w.step(r); err != nil {
		return err
	}
	m.Rev = r.head.Rev
	w.touch(r)
	m.Mentions, m.Attachments = slices.Clone(m.Mentions), copyAttachments(m.Attachments)
	if len(m.Meta) == 0 {
		m.Meta = nil
	}
	res.Message = m
	_, err := w.conn.exec(`UPDATE messages SET rev = ?, user = ?, content = ?, nonce = ?, edited_at = ?, deleted_at = ?,
		reply_to = ?, thread = ?, mentions = ?, attachments = ?, meta = ? WHERE room = ? AND seq = ?`,
		m.Rev, m.User, m.Content, text(m.Nonce), moment(m.EditedAt), moment(m.DeletedAt), text(m.ReplyTo), text(m.Thread),
		encodeStrings(m.Mentions), encodeAttachments(m.Attachments), rawJSON(m.Meta), r.pk, m.Seq)
	return err
}
