package chat

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/gabblehq/chat/internal/wire"
)

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

// Direct returns a handle of the direct room of two users, whether it exists
// or not.
func (s *Server) Direct(a, b string) *Room {
	if b < a {
		a, b = b, a
	}
	return &Room{srv: s, id: DirectID(a, b), peers: []string{a, b}}
}

func sortedPeers(a, b string) []string {
	if b < a {
		a, b = b, a
	}
	return []string{a, b}
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

func (c *call) readPeer(r *http.Request) error {
	var b struct {
		User string `json:"user" validate:"required,max=128"`
	}
	if err := c.readBody(r, &b); err != nil {
		return err
	}
	if !wire.ValidUserID(b.User) {
		return (&Error{Code: CodeInvalid, Message: "not a user id"}).WithField("user")
	}
	c.cmd.Peer, c.cmd.Room = b.User, DirectID(c.cmd.User.ID, b.User)
	return nil
}
