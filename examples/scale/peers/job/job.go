// Package job is the work that all servers here do alike, whatever library
// carries the bytes: users by their tokens, rooms whose messages are numbered,
// encoded once and kept, acknowledgements.
package job

import (
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/internal/wire"
)

// Protocol is the subprotocol that the clients ask for.
const Protocol = wire.Subprotocol

// Path is where the servers take connections.
const Path = "/chat/ws"

// Kept is how many of a room's newest messages are held.
const Kept = 256

// Queue is how many messages may wait for one connection, where a library
// leaves that to its user: the size that most of the documentation shows.
const Queue = 256

// MaxCommand is how many bytes a client may send in one message.
const MaxCommand = 32 << 10

// Door lets users in. It may be used concurrently.
type Door struct{ authenticate chat.Authenticator }

// NewDoor returns a door for tokens signed with the key, of at least 32 bytes.
func NewDoor(key []byte) (*Door, error) {
	a, err := auth.JWTWith(auth.JWTOptions{Key: key})
	return &Door{a}, err
}

// User is who sends the request.
func (d *Door) User(r *http.Request) (wire.User, error) {
	u, err := d.authenticate(r)
	return wire.User{ID: u.ID, Name: u.Name}, err
}

// Admit is User, and answers the request if nobody is let in.
func (d *Door) Admit(w http.ResponseWriter, r *http.Request) (u wire.User, ok bool) {
	u, err := d.User(r)
	if err != nil {
		http.Error(w, "unauthenticated", http.StatusUnauthorized)
	}
	return u, err == nil
}

// Welcome is the first thing that a client is sent.
func Welcome(u wire.User) []byte {
	return wire.AppendWelcome(make([]byte, 0, 384), &wire.Welcome{Session: ulid.Make().String(), User: u, ServerTime: time.Now()})
}

// Log is the messages of one room. It must not be used concurrently.
type Log struct {
	room   string
	head   int64
	recent [][]byte // encoded, by number modulo Kept
}

// NewLog returns an empty log.
func NewLog(room string) *Log { return &Log{room: room} }

// Joined is the answer to a join.
func (l *Log) Joined(ref string) []byte {
	return wire.AppendJoined(make([]byte, 0, 128), &wire.Joined{Ref: ref, Room: l.room, Epoch: "1", Head: l.head})
}

// Append gives a message its number. It returns what all members are to be sent
// and the answer to the sender; neither may be changed.
func (l *Log) Append(u wire.User, cmd *wire.Command) (message, ack []byte) {
	l.head++
	m := wire.Message{
		ID: ulid.Make().String(), Room: l.room, Seq: l.head, Rev: l.head, FirstRev: l.head,
		User: u, Kind: "regular", Content: cmd.Content, Nonce: cmd.Nonce, CreatedAt: time.Now(),
	}
	message = wire.AppendMessage(make([]byte, 0, 256+len(m.Content)), wire.TypeMessage, &m)
	if len(l.recent) < Kept {
		l.recent = append(l.recent, message)
	} else {
		l.recent[(l.head-1)%Kept] = message
	}
	ack = wire.AppendAck(make([]byte, 0, 192), &wire.Ack{
		Ref: cmd.Ref, Room: m.Room, ID: m.ID, Seq: m.Seq, Rev: m.Rev, CreatedAt: m.CreatedAt,
	})
	return message, ack
}

// Refused is the answer to a command that cannot be carried out.
func Refused(ref, why string) []byte {
	return wire.AppendError(nil, &wire.Error{Ref: ref, Code: "invalid", Message: why})
}
