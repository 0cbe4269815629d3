package wire

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"
)

// The bodies of the records that a store keeps are objects like those that
// cross the wire, without what the store knows by itself: keys, seqs, revs and
// when it was made. Of users there are only the ids. Who reads one passes over fields that are
// not known, as a later version may have written them.

// ErrRecord is what decoding gives for bytes that are no such body.
var ErrRecord = errors.New("wire: damaged record")

// AppendMessageRecord appends the body of a message's record.
func AppendMessageRecord(dst []byte, m *Message) []byte {
	b := optString(open(dst, ""), "user", m.User.ID)
	b = optString(b, "kind", m.Kind)
	b = optString(b, "content", m.Content)
	b = optString(b, "nonce", m.Nonce)
	b = optTime(b, "edited_at", m.EditedAt)
	b = optTime(b, "deleted_at", m.DeletedAt)
	b = optString(b, "reply_to", m.ReplyTo)
	b = optString(b, "thread", m.Thread)
	b = optStrings(b, "mentions", m.Mentions)
	b = optList(b, "attachments", m.Attachments, appendAttachmentRecord)
	return append(optObject(b, "meta", m.Meta), '}')
}

func appendAttachmentRecord(b []byte, a *Attachment) []byte {
	b = optString(open(b, ""), "url", a.URL)
	b = optString(b, "name", a.Name)
	b = optString(b, "type", a.Type)
	b = optInt64(b, "size", a.Size)
	b = optInt64(b, "width", int64(a.Width))
	b = optInt64(b, "height", int64(a.Height))
	return append(optObject(b, "meta", a.Meta), '}')
}

// optObject writes JSON as it is: what is kept was checked when it came in.
func optObject(b []byte, name string, raw []byte) []byte {
	if len(raw) == 0 {
		return b
	}
	return append(appendKey(b, name), raw...)
}

// optInt64 writes any number.
func optInt64(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, name), n, 10)
}

// ParseMessageRecord reads the body of a message's record. It sets neither ID
// nor Room, Seq, Rev, FirstRev and CreatedAt. What it returns shares no memory with body.
func ParseMessageRecord(body []byte) (m Message, err error) {
	r := record{scan: scan{b: body}}
	for name, value := range r.members {
		switch string(name) {
		case "user":
			m.User.ID = r.string(value)
		case "kind":
			m.Kind = r.string(value)
		case "content":
			m.Content = r.string(value)
		case "nonce":
			m.Nonce = r.string(value)
		case "edited_at":
			m.EditedAt = r.time(value)
		case "deleted_at":
			m.DeletedAt = r.time(value)
		case "reply_to":
			m.ReplyTo = r.string(value)
		case "thread":
			m.Thread = r.string(value)
		case "mentions":
			m.Mentions = r.strings(value)
		case "attachments":
			for v := range r.items(value) {
				m.Attachments = append(m.Attachments, r.attachment(v))
			}
		case "meta":
			m.Meta = r.object(value)
		}
	}
	return m, r.verdict()
}

// AppendRoomRecord appends the body of the record of a room's settings. It
// holds the room's id: the key by which a store knows the room may be another.
func AppendRoomRecord(dst []byte, r *RoomRecord) []byte {
	b := optString(open(dst, ""), "id", r.ID)
	b = optString(b, "kind", r.Kind)
	b = optString(b, "title", r.Title)
	b = optString(b, "topic", r.Topic)
	b = optString(b, "avatar", r.Avatar)
	b = optStrings(b, "peers", r.Peers)
	b = optObject(b, "meta", r.Meta)
	return append(optString(b, "created_by", r.CreatedBy), '}')
}

// RoomRecord is what is kept of a room's settings.
type RoomRecord struct {
	ID, Kind, Title, Topic, Avatar string
	Peers                          []string // user ids
	Meta                           json.RawMessage
	CreatedBy                      string
}

// ParseRoomRecord reads the body of the record of a room's settings. What it
// returns shares no memory with body.
func ParseRoomRecord(body []byte) (x RoomRecord, err error) {
	r := record{scan: scan{b: body}}
	for name, value := range r.members {
		switch string(name) {
		case "id":
			x.ID = r.string(value)
		case "kind":
			x.Kind = r.string(value)
		case "title":
			x.Title = r.string(value)
		case "topic":
			x.Topic = r.string(value)
		case "avatar":
			x.Avatar = r.string(value)
		case "peers":
			x.Peers = r.strings(value)
		case "meta":
			x.Meta = r.object(value)
		case "created_by":
			x.CreatedBy = r.string(value)
		}
	}
	return x, r.verdict()
}

// record reads a body. It holds the values of fields that are known to what
// they are to be, and the whole to what a scan holds it to.
type record struct {
	scan
	bad bool
}

func (r *record) verdict() error {
	if r.bad || !r.done {
		return ErrRecord
	}
	return nil
}

func (r *record) string(value []byte) string {
	if value[0] != '"' || !utf8.Valid(value) {
		r.bad = true
		return ""
	}
	return string(unquote(value))
}

func (r *record) strings(value []byte) (list []string) {
	for v := range r.items(value) {
		list = append(list, r.string(v))
	}
	return list
}

// items yields the elements of an array.
func (r *record) items(value []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		s := scan{b: value}
		if !s.eat('[') {
			r.bad = true
			return
		}
		s.space()
		for first := true; !s.eat(']'); first = false {
			if !first && !s.eat(',') {
				r.bad = true
				return
			}
			s.space()
			v := s.value()
			if v == nil || s.i >= len(s.b) {
				r.bad = true
				return
			}
			if !yield(v) {
				return
			}
			s.space()
		}
	}
}

func (r *record) attachment(value []byte) (a Attachment) {
	in := record{scan: scan{b: value}}
	for name, v := range in.members {
		switch string(name) {
		case "url":
			a.URL = in.string(v)
		case "name":
			a.Name = in.string(v)
		case "type":
			a.Type = in.string(v)
		case "size":
			a.Size = in.number(v)
		case "width":
			a.Width = int(in.number(v))
		case "height":
			a.Height = int(in.number(v))
		case "meta":
			a.Meta = in.object(v)
		}
	}
	r.bad = r.bad || in.verdict() != nil
	return a
}

func (r *record) number(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	r.bad = r.bad || err != nil
	return n
}

// object copies JSON. It is looked at because it goes out as it is: a damaged
// one would take others with it.
func (r *record) object(value []byte) json.RawMessage {
	if value[0] != '{' || !json.Valid(value) {
		r.bad = true
		return nil
	}
	return append(json.RawMessage(nil), value...)
}

// time reads what optTime writes by hand, and any other RFC 3339 by the
// library, which takes longer.
func (r *record) time(value []byte) time.Time {
	if len(value) == 26 && value[5] == '-' && value[8] == '-' && value[11] == 'T' && value[14] == ':' && value[17] == ':' && value[20] == '.' && value[24] == 'Z' {
		d := digits{b: value, ok: true}
		year, month, day := d.read(1, 4), d.read(6, 2), d.read(9, 2)
		hour, minute, second, ms := d.read(12, 2), d.read(15, 2), d.read(18, 2), d.read(21, 3)
		if d.ok && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 59 {
			return time.Date(year, time.Month(month), day, hour, minute, second, ms*1e6, time.UTC)
		}
	}
	t, err := time.Parse(time.RFC3339, r.string(value))
	r.bad = r.bad || err != nil
	return t.UTC()
}

type digits struct {
	b  []byte
	ok bool
}

func (d *digits) read(at, n int) (v int) {
	for _, c := range d.b[at : at+n] {
		if c < '0' || c > '9' {
			d.ok = false
		}
		v = v*10 + int(c-'0')
	}
	return v
}
