package sqlite

import (
	"bytes"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

// nonceKey is what finds a message by user and nonce, also when both have been
// deleted from it. The length keeps pairs apart that look the same joined.
func nonceKey(user, nonce string) []byte {
	buf := make([]byte, 0, 128)
	buf = binary.BigEndian.AppendUint64(buf, uint64(len(user)))
	buf = append(append(buf, user...), nonce...)
	sum := sha256.Sum256(buf)
	return sum[:16]
}

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// attachment is a chat.Attachment in its column. Meta is a string, so that
// nothing reformats it.
type attachment struct {
	URL    string `json:"url"`
	Name   string `json:"name,omitempty"`
	Type   string `json:"type,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	Meta   string `json:"meta,omitempty"`
}

// encodeJSON leaves the value as legible as it can be.
func encodeJSON(v any) driver.Value {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil // strings and numbers: cannot be
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func encodeStrings(s []string) driver.Value {
	if len(s) == 0 {
		return nil
	}
	return encodeJSON(s)
}

func encodeAttachments(as []chat.Attachment) driver.Value {
	if len(as) == 0 {
		return nil
	}
	out := make([]attachment, len(as))
	for i, a := range as {
		out[i] = attachment{a.URL, a.Name, a.Type, a.Size, a.Width, a.Height, string(a.Meta)}
	}
	return encodeJSON(out)
}

// text is NULL for what is empty.
func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func rawJSON(b json.RawMessage) driver.Value { return text(string(b)) }

// moment is NULL for never.
func moment(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return millis(t)
}

// decoder reads columns and notes whether one is not what was written.
type decoder struct {
	v   []driver.Value
	bad bool
}

// next returns the next column's value.
func (d *decoder) next() driver.Value {
	v := d.v[0]
	d.v = d.v[1:]
	return v
}

func (d *decoder) int() int64 {
	n, ok := d.next().(int64)
	d.bad = d.bad || !ok
	return n
}

func (d *decoder) time() time.Time {
	switch v := d.next().(type) {
	case nil:
	case int64:
		return fromMillis(v)
	default:
		d.bad = true
	}
	return time.Time{}
}

func (d *decoder) text() string {
	switch v := d.next().(type) {
	case nil:
	case string:
		if utf8.ValidString(v) {
			return v
		}
		d.bad = true
	default:
		d.bad = true
	}
	return ""
}

func (d *decoder) json(to any) {
	if s := d.text(); s != "" {
		d.bad = json.Unmarshal([]byte(s), to) != nil || d.bad
	}
}

func (d *decoder) raw() json.RawMessage {
	s := d.text()
	if s == "" {
		return nil
	}
	b := json.RawMessage(s)
	d.bad = !json.Valid(b) || d.bad
	return b
}

func (d *decoder) attachments() []chat.Attachment {
	var in []attachment
	d.json(&in)
	if len(in) == 0 {
		return nil
	}
	out := make([]chat.Attachment, len(in))
	for i, a := range in {
		out[i] = chat.Attachment{URL: a.URL, Name: a.Name, Type: a.Type, Size: a.Size, Width: a.Width, Height: a.Height}
		if a.Meta != "" {
			out[i].Meta = json.RawMessage(a.Meta)
			d.bad = !json.Valid(out[i].Meta) || d.bad
		}
	}
	return out
}

// messageColumns is what scanMessage reads.
const messageColumns = `seq, rev, first_rev, id, user, kind, content, nonce, created_at, edited_at, deleted_at, reply_to, thread, mentions, attachments, meta`

// scanMessage reads a row into m. It reports false for one that is damaged, of
// which it leaves what a deleted message keeps.
func scanMessage(v []driver.Value, room string, m *chat.Message) bool {
	d := decoder{v: v}
	*m = chat.Message{
		Room: room,
		Seq:  d.int(), Rev: d.int(), FirstRev: d.int(),
		ID: d.text(), User: d.text(), Kind: chat.MessageKind(d.text()), Content: d.text(), Nonce: d.text(),
		CreatedAt: d.time(), EditedAt: d.time(), DeletedAt: d.time(),
		ReplyTo: d.text(), Thread: d.text(),
	}
	d.json(&m.Mentions)
	m.Attachments, m.Meta = d.attachments(), d.raw()
	if !d.bad {
		return true
	}
	gone := chat.Change{Kind: chat.ChangeDelete, At: m.CreatedAt}
	m.DeletedAt = time.Time{}
	*m, _ = gone.Delete(*m)
	return false
}

// roomColumns is what scanRoom reads, and roomTables where from.
const (
	roomColumns = `r.pk, r.epoch, h.rev, h.seq, h.floor, r.rev, r.id, r.kind, r.title, r.topic, r.avatar, r.peers, r.meta, r.created_by, r.created_at, r.life, r.past`
	roomTables  = `rooms r JOIN heads h ON h.room = r.pk`
	roomWidth   = 17
)

// roomState is a room without its messages.
type roomState struct {
	key   string
	pk    int64
	head  chat.Position
	floor int64
	info  *chat.RoomInfo // shared, not to be changed
	life  string
	past  []chat.Position // shared, not to be changed

	oldest int64 // seq of the oldest message kept; known to the writer only
	dirty  bool  // the head or the floor is not what the row says
}

// scanRoom reads a row. It reports false where the settings are damaged; what
// can be read of them is there.
func scanRoom(v []driver.Value, key string) (*roomState, bool) {
	d := decoder{v: v}
	r := &roomState{key: key, pk: d.int()}
	r.head = chat.Position{Epoch: d.text(), Rev: d.int(), Seq: d.int()}
	r.floor = d.int()
	r.info = &chat.RoomInfo{
		Rev: d.int(),
		ID:  d.text(), Kind: chat.RoomKind(d.text()), Title: d.text(), Topic: d.text(), Avatar: d.text(),
	}
	d.json(&r.info.Peers)
	r.info.Meta = d.raw()
	r.info.CreatedBy, r.info.CreatedAt = d.text(), d.time()
	r.life, r.past = d.text(), unpackPast(d.text())
	return r, !d.bad
}

// copyRoom is a copy that shares no memory.
func copyRoom(r *chat.RoomInfo) chat.RoomInfo {
	c := *r
	c.Peers, c.Meta = slices.Clone(r.Peers), bytes.Clone(r.Meta)
	return c
}

func copyAttachments(as []chat.Attachment) []chat.Attachment {
	if len(as) == 0 {
		return nil
	}
	c := slices.Clone(as)
	for i := range c {
		c[i].Meta = bytes.Clone(c[i].Meta)
	}
	return c
}
