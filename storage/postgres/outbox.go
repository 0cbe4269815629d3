package postgres

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/gabblehq/chat"
)

// maxContent bounds what SendTx takes, whatever the server's limits are.
const maxContent = 64 << 10

// outgoing is a message in the outbox.
type outgoing struct {
	ID          string            `json:"id"`
	User        string            `json:"user,omitempty"`
	Kind        chat.MessageKind  `json:"kind"`
	Content     string            `json:"content,omitempty"`
	Nonce       string            `json:"nonce,omitempty"`
	ReplyTo     string            `json:"reply_to,omitempty"`
	Thread      string            `json:"thread,omitempty"`
	Mentions    []string          `json:"mentions,omitempty"`
	Attachments []chat.Attachment `json:"attachments,omitempty"`
	Meta        json.RawMessage   `json:"meta,omitempty"`
}

// SendTx sends a message as part of a transaction of the host's own: it comes
// if the transaction commits, and never otherwise. It returns the id that the
// message will have.
//
// room is the store's key of the room: its id, with the prefix that
// Options.Tenant of the server adds where there is one. The room must exist by
// the time the transaction has committed. Of m the fields User, Kind, Content,
// Nonce, ReplyTo, Thread, Mentions, Attachments and Meta count, as for
// [chat.Room.Send], whose limits of size SendTx does not know; what is wrong
// with m is ErrInvalid and leaves the transaction as it was. Any other error is
// one of the transaction's.
//
// SendTx neither locks the room nor waits for it, however long the transaction
// stays open. A Store on these tables, of this process or another, moves the
// message into the room after the commit: at once where one watches, within a
// second otherwise. The messages of one transaction to one room keep their
// order. One that cannot be moved stays in the table outbox, with the reason in
// its column error, and is logged; to try again, set that to null.
func (s *Store) SendTx(ctx context.Context, tx pgx.Tx, room string, m chat.Message) (id string, err error) {
	if m.Kind == "" {
		m.Kind = chat.KindRegular
	}
	m.ID = ulid.Make().String()
	if err := checkOutgoing(room, &m); err != nil {
		return "", err
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(outgoing{m.ID, m.User, m.Kind, m.Content, m.Nonce, m.ReplyTo, m.Thread, m.Mentions, m.Attachments, m.Meta})
	if err != nil {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: "not JSON", Field: "meta"}
	}
	if _, err := tx.Exec(ctx, s.q(sqlSend), room, b.String(), s.channel); err != nil {
		return "", unavailable(err)
	}
	return m.ID, nil
}

func checkOutgoing(room string, m *chat.Message) error {
	if room == "" || len(room) > 256 || strings.ContainsFunc(room, func(r rune) bool { return r < ' ' || r > '~' }) {
		return &chat.Error{Code: chat.CodeInvalid, Message: "not the key of a room", Field: "room"}
	}
	switch {
	case m.Kind != chat.KindRegular && m.Kind != chat.KindSystem:
		return &chat.Error{Code: chat.CodeInvalid, Message: "neither regular nor system", Field: "kind"}
	case len(m.User) > 128 || m.User == "" && m.Kind != chat.KindSystem:
		return &chat.Error{Code: chat.CodeInvalid, Message: "a message needs the id of its user", Field: "user"}
	case m.Content == "" && len(m.Attachments) == 0:
		return &chat.Error{Code: chat.CodeInvalid, Message: "a message needs content or an attachment", Field: "content"}
	case len(m.Content) > maxContent:
		return &chat.Error{Code: chat.CodeTooLarge, Message: "more than 64 KiB", Field: "content"}
	case len(m.Meta) > 0 && m.Meta[0] != '{':
		return &chat.Error{Code: chat.CodeInvalid, Message: "not a JSON object", Field: "meta"}
	}
	return check(&chat.Change{Message: *m})
}
