package chat

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
