package redis

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/gabblehq/chat"
)

// A record is what is kept of a message or of a room's settings. The script
// puts revs before it, "firstRev rev " or "rev "; then follows, of a message,
// "created #id id", which the script reads, and then, of both, a version, a
// CRC-32C of everything but the revs and this sum, and the fields.
//
// A record grows at its end: fields that are new come behind all others, also
// those of attachments, and who does not know them passes over them. So in a
// rolling deploy an older server reads what a newer one has written. It drops
// them from what it writes anew, as by an edit. The version changes only where
// the fields that are there change their meaning.

const recordVersion = 1

// errCorrupt is what decoding gives for bytes that are no record.
var errCorrupt = errors.New("redis: the stored record is corrupted")

// Bits of a message record's first field: which of the others are there.
const (
	hasEdited = 1 << iota
	hasDeleted
	hasMore
)

// encodeMessage makes a record without revs.
func encodeMessage(m *chat.Message) []byte {
	b := make([]byte, 0, 64+len(m.ID)+len(m.User)+len(m.Content)+len(m.Nonce)+len(m.Meta))
	b = strconv.AppendInt(b, m.CreatedAt.UnixMilli(), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(m.ID)), 10)
	b = append(b, ' ')
	b = append(b, m.ID...)
	head := len(b)
	b = append(b, recordVersion, 0, 0, 0, 0)

	more := m.ReplyTo != "" || m.Thread != "" || len(m.Mentions)+len(m.Attachments)+len(m.Meta) > 0
	b = append(b, bit(!m.EditedAt.IsZero(), hasEdited)|bit(!m.DeletedAt.IsZero(), hasDeleted)|bit(more, hasMore))
	b = putString(b, m.User)
	b = putString(b, string(m.Kind))
	b = putString(b, m.Nonce)
	b = putString(b, m.Content)
	if !m.EditedAt.IsZero() {
		b = binary.AppendVarint(b, m.EditedAt.UnixMilli())
	}
	if !m.DeletedAt.IsZero() {
		b = binary.AppendVarint(b, m.DeletedAt.UnixMilli())
	}
	if more {
		b = putMore(b, m)
	}
	return seal(b, head)
}

func putMore(b []byte, m *chat.Message) []byte {
	b = putString(b, m.ReplyTo)
	b = putString(b, m.Thread)
	b = putStrings(b, m.Mentions)
	b = binary.AppendUvarint(b, uint64(len(m.Attachments)))
	for i := range m.Attachments {
		a := &m.Attachments[i]
		b = putString(b, a.URL)
		b = putString(b, a.Name)
		b = putString(b, a.Type)
		b = binary.AppendVarint(b, a.Size)
		b = binary.AppendVarint(b, int64(a.Width))
		b = binary.AppendVarint(b, int64(a.Height))
		b = putString(b, string(a.Meta))
	}
	return putString(b, string(m.Meta))
}

// encodeRoom makes a record without revs.
func encodeRoom(r *chat.RoomInfo) []byte {
	b := append(make([]byte, 0, 64+len(r.Title)+len(r.Topic)+len(r.Meta)), recordVersion, 0, 0, 0, 0)
	b = putString(b, r.ID)
	b = putString(b, string(r.Kind))
	b = putString(b, r.Title)
	b = putString(b, r.Topic)
	b = putString(b, r.Avatar)
	b = putStrings(b, r.Peers)
	b = putString(b, string(r.Meta))
	b = putString(b, r.CreatedBy)
	b = binary.AppendVarint(b, r.CreatedAt.UnixMilli())
	return seal(b, 0)
}

// seal fills in the sum of a record whose version is at head.
func seal(b []byte, head int) []byte {
	binary.LittleEndian.PutUint32(b[head+1:], sum(b[:head], b[head+5:]))
	return b
}

func sum(visible, fields []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(visible, table), table, fields)
}

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}

func putString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func putStrings(b []byte, ss []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(ss)))
	for _, s := range ss {
		b = putString(b, s)
	}
	return b
}

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// encodeStub makes what a nonce must tell of a message that is trimmed.
func encodeStub(m *chat.Message) []byte {
	b := binary.AppendVarint(nil, m.CreatedAt.UnixMilli())
	b = putString(b, string(m.Kind))
	return append(b, m.ID...)
}
