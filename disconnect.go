package chat

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/gabblehq/chat/internal/wire"
)

// UserSessions is a handle of one user's connections to this server.
type UserSessions struct {
	srv *Server
	id  string
}

// User returns a handle of the user's connections to this server, whether
// there are any or not.
func (s *Server) User(id string) *UserSessions { return &UserSessions{srv: s, id: id} }

// Online reports whether the user has a session.
func (u *UserSessions) Online() bool { return u.srv.users.Latest(u.id) != nil }

// Sessions returns the ids of the user's sessions.
func (u *UserSessions) Sessions() []string {
	var ids []string
	for _, s := range u.srv.users.Under(u.id) {
		ids = append(ids, s.name())
	}
	return ids
}

// dismissals are who has been sent away, and when, in an order of their own: who
// is being authenticated meanwhile is no session yet that could be closed.
type dismissals struct {
	mu    sync.Mutex
	seq   uint64
	floor uint64 // of what came before nothing is known any more
	users map[string]dismissal
}

// dismissal is how a user was sent away last.
type dismissal struct {
	seq    uint64
	code   uint16
	reason string
}

// maxDismissals bounds how many are remembered. An authentication during which
// there are more has to be done again.
const maxDismissals = 4096

// begin returns what since is to be asked with when somebody who is being
// authenticated from now on has become a session.
func (d *dismissals) begin() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seq
}

func (d *dismissals) note(user string, code uint16, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	if d.users == nil || len(d.users) >= maxDismissals {
		d.users, d.floor = make(map[string]dismissal), d.seq
	}
	d.users[user] = dismissal{d.seq, code, reason}
}

// since returns how the user was sent away after begin; the code is 0 if they
// were not.
func (d *dismissals) since(user string, begun uint64) dismissal {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.users[user]; at.seq > begun {
		return at
	}
	if begun+1 < d.floor {
		return dismissal{code: wire.CloseRestart, reason: "cannot authenticate now"}
	}
	return dismissal{}
}

// signedOut is the reason that sessions are closed with by SignOut.
const signedOut = "signed out"

// maxReason is how many bytes of a reason a close frame has room for.
const maxReason = 123

// Disconnect closes the user's sessions and tells them to stay away, with the
// first 123 bytes of the reason; who is being authenticated meanwhile is sent
// away too. It returns how many sessions there were on this server, without
// waiting for the clients to go. Servers that share the store do the same
// within two seconds, once Disconnect has returned nil; its error says that
// they have not been told.
//
// It is for users who must not come back (close code 4501): see to it first
// that Authenticate refuses them. See SignOut for those who may.
func (u *UserSessions) Disconnect(ctx context.Context, reason string) (int, error) {
	return u.dismiss(ctx, controlOrder{Type: orderDisconnect, User: u.id, Reason: cut(strings.ToValidUTF8(cut(reason, maxReason), "\ufffd"), maxReason)})
}

// SignOut closes those sessions of the user whose ids are given, or all of them
// where none is, and tells them that they have to sign in again (close code
// 4500): for a user who has signed out, or a device that has been lost. See to
// it first that Authenticate does not take their token or cookie any more. It
// returns how many there were on this server; ids that there are none of do no
// harm. Otherwise it is like Disconnect.
func (u *UserSessions) SignOut(ctx context.Context, sessions ...string) (int, error) {
	return u.dismiss(ctx, controlOrder{Type: orderSignOut, User: u.id, Sessions: sessions})
}

func (u *UserSessions) dismiss(ctx context.Context, o controlOrder) (int, error) {
	s := u.srv
	if !s.inUse.Enter() {
		return 0, ErrServerClosed
	}
	defer s.inUse.Leave()
	n := s.dismiss(o)
	if s.cluster == nil {
		return n, nil
	}
	return n, s.cluster.order(ctx, o)
}

// dismiss closes sessions on this server.
func (s *Server) dismiss(o controlOrder) (n int) {
	code, reason := uint16(wire.CloseBanned), o.Reason
	if o.Type == orderSignOut {
		code, reason = wire.CloseUnauthenticated, signedOut
	}
	if len(o.Sessions) == 0 {
		// First: who is not in the directory yet looks here afterwards.
		s.dismissed.note(o.User, code, reason)
	}
	for _, sess := range s.users.Under(o.User) {
		if len(o.Sessions) == 0 || slices.Contains(o.Sessions, sess.name()) {
			sess.conn.Close(code, reason)
			n++
		}
	}
	return n
}
