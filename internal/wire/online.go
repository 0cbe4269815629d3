package wire

func (c *Command) checkOnline() *Error { return first(c.checkRoom(), c.checkCursor()) }

// Online is a page of the users who are in a room.
type Online struct {
	Type      string // of the command that is answered, presence or members
	Ref, Room string
	Online    int // how many there are in all
	Users     []User
	More      bool
	Cursor    string // for the next page
}

// AppendOnline appends the answer to a presence or members command.
func AppendOnline(dst []byte, o *Online) []byte { return appendOnline(open(dst, o.Type), o) }

// AppendOnlineObject appends the page as the body of a REST answer.
func AppendOnlineObject(dst []byte, o *Online) []byte { return appendOnline(open(dst, ""), o) }

// AppendFrame appends the answer to a presence or members command.
func (o *Online) AppendFrame(dst []byte) []byte { return AppendOnline(dst, o) }

// AppendObject appends the page as the body of a REST answer.
func (o *Online) AppendObject(dst []byte) []byte { return AppendOnlineObject(dst, o) }

func appendOnline(b []byte, o *Online) []byte {
	b = optString(b, "ref", o.Ref)
	b = optString(b, "room", o.Room)
	b = appendInt(b, "online", int64(o.Online))
	b = appendList(b, "users", o.Users, appendUser)
	b = appendBool(b, "more", o.More)
	return append(optString(b, "cursor", o.Cursor), '}')
}

// Presence is what has changed about who is in a room.
type Presence struct {
	Room        string
	Online      int // how many there are now
	Join, Leave []User
}

// AppendPresence appends a presence frame.
func AppendPresence(dst []byte, p *Presence) []byte {
	b := optString(open(dst, TypePresence), "room", p.Room)
	b = appendInt(b, "online", int64(p.Online))
	b = optList(b, "join", p.Join, appendUser)
	return append(optList(b, "leave", p.Leave, appendUser), '}')
}

// Typing says that a user has begun or ceased to type.
type Typing struct {
	Room   string
	User   User
	Active bool
}

// AppendTyping appends a typing frame.
func AppendTyping(dst []byte, t *Typing) []byte {
	b := optString(open(dst, TypeTyping), "room", t.Room)
	b = optUser(b, "user", &t.User)
	return append(appendBool(b, "active", t.Active), '}')
}
