package redis

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"github.com/gabblehq/chat"
)

// reader takes a record apart. After bad has been set it gives zeros.
type reader struct {
	rest string
	bad  bool
}

// number reads digits up to and with a space.
func (r *reader) number() int64 {
	digits, rest, ok := strings.Cut(r.rest, " ")
	n, err := parseInt(digits)
	if !ok || err != nil {
		r.bad = true
		return 0
	}
	r.rest = rest
	return n
}

func (r *reader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) uvarint() uint64 {
	head := r.rest[:min(len(r.rest), binary.MaxVarintLen64)]
	n, size := binary.Uvarint([]byte(head))
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	n := int64(u >> 1)
	if u&1 != 0 {
		n = ^n
	}
	return n
}

func (r *reader) string() string { return r.take(r.uvarint()) }

func (r *reader) json() json.RawMessage {
	if s := r.string(); s != "" {
		return json.RawMessage(s)
	}
	return nil
}

func (r *reader) time() time.Time { return time.UnixMilli(r.varint()).UTC() }

// count reads the length of a list whose items take a byte each, at least.
func (r *reader) count() int {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) strings() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	ss := make([]string, n)
	for i := range ss {
		ss[i] = r.string()
	}
	return ss
}

// unseal checks version and sum; visible is what comes before them.
func (r *reader) unseal(visible string) {
	head := r.take(5)
	if r.bad || head[0] != recordVersion ||
		binary.LittleEndian.Uint32([]byte(head[1:])) != sum([]byte(visible), []byte(r.rest)) {
		r.bad = true
	}
}

// decodeStored reads a message as the script keeps it, with its revs. What is
// visible of a corrupted one is returned with the error.
func decodeStored(rec string) (chat.Message, error) {
	r := reader{rest: rec}
	first, rev := r.number(), r.number()
	if r.bad {
		return chat.Message{}, errCorrupt
	}
	m, err := decodeMessage(r.rest)
	m.FirstRev, m.Rev = first, rev
	return m, err
}

// decodeMessage reads what encodeMessage has made.
func decodeMessage(rec string) (chat.Message, error) {
	r := reader{rest: rec}
	created, size := r.number(), r.number()
	m := chat.Message{ID: r.take(uint64(size))}
	r.unseal(rec[:len(rec)-len(r.rest)])
	if r.bad {
		return m, errCorrupt
	}
	m.CreatedAt = time.UnixMilli(created).UTC()
	bits := r.take(1)
	if r.bad {
		return m, errCorrupt
	}
	m.User, m.Kind, m.Nonce, m.Content = r.string(), chat.MessageKind(r.string()), r.string(), r.string()
	if bits[0]&hasEdited != 0 {
		m.EditedAt = r.time()
	}
	if bits[0]&hasDeleted != 0 {
		m.DeletedAt = r.time()
	}
	if bits[0]&hasMore != 0 {
		r.more(&m)
	}
	if r.bad { // what follows is a later version's, see record.go
		return m, errCorrupt
	}
	return m, nil
}

func (r *reader) more(m *chat.Message) {
	m.ReplyTo, m.Thread, m.Mentions = r.string(), r.string(), r.strings()
	if n := r.count(); n > 0 {
		m.Attachments = make([]chat.Attachment, n)
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		a.URL, a.Name, a.Type = r.string(), r.string(), r.string()
		a.Size, a.Width, a.Height = r.varint(), int(r.varint()), int(r.varint())
		a.Meta = r.json()
	}
	m.Meta = r.json()
}

// decodeStoredRoom reads settings as the script keeps them, with their rev.
func decodeStoredRoom(rec string) (chat.RoomInfo, error) {
	r := reader{rest: rec}
	rev := r.number()
	if r.bad {
		return chat.RoomInfo{}, errCorrupt
	}
	info, err := decodeRoom(r.rest)
	info.Rev = rev
	return info, err
}

// decodeRoom reads what encodeRoom has made.
func decodeRoom(rec string) (chat.RoomInfo, error) {
	r := reader{rest: rec}
	r.unseal("")
	if r.bad {
		return chat.RoomInfo{}, errCorrupt
	}
	info := chat.RoomInfo{
		ID: r.string(), Kind: chat.RoomKind(r.string()), Title: r.string(), Topic: r.string(), Avatar: r.string(),
		Peers: r.strings(), Meta: r.json(), CreatedBy: r.string(), CreatedAt: r.time(),
	}
	if r.bad { // what follows is a later version's, see record.go
		return info, errCorrupt
	}
	return info, nil
}

// decodeStub reads what encodeStub has made into m.
func decodeStub(stub string, m *chat.Message) {
	r := reader{rest: stub}
	m.CreatedAt, m.Kind = r.time(), chat.MessageKind(r.string())
	m.ID = r.rest
}

// word reads up to and with a space.
func (r *reader) word() string {
	w, rest, ok := strings.Cut(r.rest, " ")
	if !ok {
		r.bad = true
		return ""
	}
	r.rest = rest
	return w
}
