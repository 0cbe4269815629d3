package chat

import "context"

// UserSessions is a handle of one user's connections to this server.
type UserSessions struct {
	srv *Server
	id  string
}

// User returns a handle of the user's connections to this server, whether
// there are any or not.
func (s *Server) User(id string) *UserSessions { return &UserSessions{srv: s, id: id} }

// Online reports whether the user has a session.
func (u *UserSessions) Online() bool { return u.srv.users.who(u.id) != nil }

// Sessions returns the ids of the user's sessions.
func (u *UserSessions) Sessions() []string {
	var ids []string
	for _, s := range u.srv.users.sessions(u.id) {
		ids = append(ids, s.name())
	}
	return ids
}

// Disconnect closes the user's sessions and tells them to stay away, with a
// reason of at most 123 bytes. It returns how many there were on this server,
// without waiting for the clients to go. Servers that share the store do the
// same within two seconds, once Disconnect has returned nil; its error says
// that they have not been told.
func (u *UserSessions) Disconnect(ctx context.Context, reason string) (int, error) {
	s := u.srv
	if !s.inUse.enter() {
		return 0, ErrServerClosed
	}
	defer s.inUse.leave()
	n := s.disconnect(u.id, reason)
	if s.cluster == nil {
		return n, nil
	}
	return n, s.cluster.order(ctx, controlOrder{Type: "disconnect", User: u.id, Reason: reason})
}

// Revoke looks again whether the user may read the room and, where not, ends
// the user's subscriptions to it: when Revoke has returned, no frame of the
// room is begun to them by this server. Servers that share the store do the
// same within two seconds, once Revoke has returned nil; its error says that
// they have not been told. It is for permissions that only the host knows of,
// right after they have ended.
func (s *Server) Revoke(ctx context.Context, user, room string) error {
	if !s.inUse.enter() {
		return ErrServerClosed
	}
	defer s.inUse.leave()
	s.revoke(ctx, user, room)
	if s.cluster == nil {
		return nil
	}
	return s.cluster.order(ctx, controlOrder{Type: "revoke", User: user, Room: room})
}

// recheck ends a session's subscription if the user may not read the room, or
// if that cannot be found out.
func (s *Server) recheck(ctx context.Context, sess *session, r *liveRoom) {
	code := CodeForbidden
	info, err := r.settings(ctx)
	if err == nil {
		who := sess.user()
		if who == nil || s.may(ctx, who.user(), ActionRead, info) == nil {
			return
		}
	} else {
		code = CodeOf(err)
	}
	r.expel(sess, code)
}
