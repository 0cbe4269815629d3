package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabblehq/chat"
)

// nonceHash is by what a user's nonce is known in a room, nil for no nonce.
func nonceHash(user, nonce string) []byte {
	if nonce == "" {
		return nil
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(user)))
	b := make([]byte, 0, 256)
	b = append(append(append(b, n[:]...), user...), nonce...) // the length goes first: no two pairs read the same
	sum := sha256.Sum256(b)
	return sum[:16]
}

// mentionsJSON and attachmentsJSON are "" for none. What hosts have put into
// an attachment's Meta stays as it is, byte for byte, which json.Marshal does
// not promise.
func mentionsJSON(m []string) string {
	if len(m) == 0 {
		return ""
	}
	b, _ := json.Marshal(m) // strings cannot fail
	return string(b)
}

func attachmentsJSON(as []chat.Attachment) string {
	if len(as) == 0 {
		return ""
	}
	b := []byte{'['}
	for i, a := range as {
		if i > 0 {
			b = append(b, ',')
		}
		meta := a.Meta
		a.Meta = nil
		kept := keptAttachment{Attachment: a}
		if len(bytes.TrimSpace(meta)) < len(meta) {
			kept.Text, meta = string(meta), nil // in the midst of other JSON, space around it would be lost
		}
		one, _ := json.Marshal(kept) // strings and numbers cannot fail
		b = append(b, one...)
		if len(meta) > 0 {
			b = append(b[:len(b)-1], `,"meta":`...)
			b = append(append(b, meta...), '}')
		}
	}
	return string(append(b, ']'))
}

// keptAttachment is an attachment as it is stored.
type keptAttachment struct {
	chat.Attachment
	Text string `json:"meta_text,omitempty"` // Meta, where it is not in its place
}

func attachmentsOf(b []byte) ([]chat.Attachment, error) {
	var kept []keptAttachment
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, err
	}
	as := make([]chat.Attachment, len(kept))
	for i, k := range kept {
		as[i] = k.Attachment
		if k.Text != "" {
			as[i].Meta = json.RawMessage(k.Text)
		}
	}
	return as, nil
}

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// orNil is nil for the zero time.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// maxID is how long an id may be: an index refuses a long one, and with it
// all that is written at once.
const maxID = 256

// check refuses what the database would: text that is not UTF-8 or holds
// U+0000, and JSON that is none. A bad change must not spoil its neighbours.
func check(c *chat.Change) error {
	m, r, u := &c.Message, &c.Room, &c.Update
	if len(m.ID) > maxID {
		return &chat.Error{Code: chat.CodeInvalid, Message: "too long", Field: "id"}
	}
	for _, f := range [...]struct{ name, text string }{
		{"id", m.ID}, {"user", m.User}, {"kind", string(m.Kind)}, {"content", m.Content}, {"nonce", m.Nonce}, {"reply_to", m.ReplyTo},
		{"thread", m.Thread}, {"room", r.ID}, {"kind", string(r.Kind)}, {"title", r.Title}, {"topic", r.Topic}, {"avatar", r.Avatar},
		{"created_by", r.CreatedBy}, {"title", deref(u.Title)}, {"topic", deref(u.Topic)}, {"avatar", deref(u.Avatar)},
	} {
		if !storable(f.text) {
			return notText(f.name)
		}
	}
	for _, text := range m.Mentions {
		if !storable(text) {
			return notText("mentions")
		}
	}
	for _, text := range r.Peers {
		if !storable(text) {
			return notText("peers")
		}
	}
	for _, a := range m.Attachments {
		if !storable(a.URL) || !storable(a.Name) || !storable(a.Type) || !storableJSON(a.Meta) {
			return notText("attachments")
		}
	}
	if !storableJSON(m.Meta) || !storableJSON(r.Meta) || !storableJSON(u.Meta) {
		return &chat.Error{Code: chat.CodeInvalid, Message: "not JSON", Field: "meta"}
	}
	return nil
}

func storable(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

func storableJSON(b json.RawMessage) bool {
	return len(b) == 0 || json.Valid(b) && utf8.Valid(b)
}

func notText(field string) error {
	return &chat.Error{Code: chat.CodeInvalid, Message: "not UTF-8, or with U+0000 in it", Field: field}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
