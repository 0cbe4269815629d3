package chat

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/gabblehq/chat/internal/wire"
	"github.com/gabblehq/chat/storage"
)

// The records of a room, by key. What they say is JSON, see internal/wire.
const (
	settingsKey = "room" // the room's settings; logged
	messages    = "m/"   // and a message's id: the message, in the main list; logged
	nonces      = "n/"   // and a digest: it is like the message that a nonce has led to; for NonceTTL
)

func messageKey(id string) string { return messages + id }

// nonceKey is a digest of user and nonce, which together are too long for a key.
// It stays when a message is deleted for good, and tells nothing of it.
func nonceKey(user, nonce string) string {
	b := make([]byte, 0, 512)
	b = binary.AppendUvarint(b, uint64(len(user))) // so that no two pairs read the same
	b = append(append(b, user...), nonce...)
	sum := sha256.Sum256(b)
	b = append(b[:0], nonces...)
	return string(base64.RawURLEncoding.AppendEncode(b, sum[:18]))
}

// messageBody is what is kept of a message.
func messageBody(m *Message) []byte {
	w := wireMessage(m, wire.User{ID: m.User})
	return wire.AppendMessageRecord(make([]byte, 0, 160+len(m.Content)+len(m.Meta)), &w)
}

// readMessage reads a message's record. A damaged one, which is not sound, is
// shown as deleted, without content.
func readMessage(rec *storage.Record, damaged func(*storage.Record, error)) (m Message, sound bool) {
	w, err := wire.ParseMessageRecord(rec.Body)
	if err != nil {
		damaged(rec, err)
		w = wire.Message{DeletedAt: time.UnixMilli(0).UTC()}
	}
	m = Message{
		ID: rec.Key[len(messages):], Seq: rec.Seq(storage.Main), Rev: rec.Rev, FirstRev: rec.FirstRev,
		User: w.User.ID, Kind: MessageKind(w.Kind), Content: w.Content, Nonce: w.Nonce,
		CreatedAt: rec.At, EditedAt: w.EditedAt, DeletedAt: w.DeletedAt,
		ReplyTo: w.ReplyTo, Thread: w.Thread, Mentions: w.Mentions, Meta: w.Meta,
	}
	if len(w.Attachments) > 0 {
		m.Attachments = make([]Attachment, len(w.Attachments))
		for i, a := range w.Attachments {
			m.Attachments[i] = Attachment(a)
		}
	}
	return m, err == nil
}

func settingsBody(r *RoomInfo) []byte {
	w := wire.RoomRecord{
		ID: r.ID, Kind: string(r.Kind), Title: r.Title, Topic: r.Topic, Avatar: r.Avatar,
		Peers: r.Peers, Meta: r.Meta, CreatedBy: r.CreatedBy,
	}
	return wire.AppendRoomRecord(make([]byte, 0, 128), &w)
}

// readRoom reads the record of a room's settings. Of damaged ones nothing is
// known.
func readRoom(rec *storage.Record, damaged func(*storage.Record, error)) RoomInfo {
	w, err := wire.ParseRoomRecord(rec.Body)
	if err != nil {
		damaged(rec, err)
		w = wire.RoomRecord{}
	}
	return RoomInfo{
		ID: w.ID, Kind: RoomKind(w.Kind), Title: w.Title, Topic: w.Topic, Avatar: w.Avatar,
		Peers: w.Peers, Meta: w.Meta, CreatedBy: w.CreatedBy, CreatedAt: rec.At, Rev: rec.Rev,
	}
}
