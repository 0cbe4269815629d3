package chat

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// RoomKind says who may be in a room by default.
type RoomKind string

// The kinds of rooms.
const (
	RoomPublic RoomKind = "public" // any signed-in user may join, read and write
	RoomDirect RoomKind = "direct" // exactly two users

	roomControl RoomKind = "control" // see controlRoom
)

// RoomInfo is a room's settings.
type RoomInfo struct {
	ID     string // see [ValidRoomID]
	Kind   RoomKind
	Title  string
	Topic  string
	Avatar string // URL

	// Peers are the ids of the two users of a direct room, sorted.
	Peers []string

	Meta      json.RawMessage // a JSON object, opaque to the server; nil: none
	CreatedBy string          // user id; empty: the host
	CreatedAt time.Time
	Rev       int64 // log position at which the settings last changed
}

// RoomUpdate names the settings of a room that are to change; nil leaves one
// as it is.
type RoomUpdate struct {
	Title  *string
	Topic  *string
	Avatar *string
	Meta   json.RawMessage
}

// ValidRoomID reports whether id may name a room: 1 to 128 of
// [A-Za-z0-9_.~-], and neither "." nor "..". Ids that start with "~" are
// Gabble's own: clients and hosts cannot create them by name.
func ValidRoomID(id string) bool { return wire.ValidRoomID(id) }

// DirectID returns the id of the direct room of two users. It is the same
// whichever comes first. A user's room with themself is a room like any other.
func DirectID(a, b string) string {
	if b < a {
		a, b = b, a
	}
	h := sha256.New()
	for _, id := range [2]string{a, b} {
		// The length goes first, so that no two pairs of ids read the same.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(id)))
		h.Write(n[:])
		h.Write([]byte(id))
	}
	sum := h.Sum(nil)
	enc := base32.StdEncoding.WithPadding(base32.NoPadding)
	return "~" + strings.ToLower(enc.EncodeToString(sum[:20]))
}

// isPeer reports whether the user is one of the two of a direct room.
func (r *RoomInfo) isPeer(user string) bool {
	for _, p := range r.Peers {
		if p == user {
			return true
		}
	}
	return false
}
