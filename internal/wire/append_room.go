package wire

// Joined tells a session that it now follows a room, and from where.
type Joined struct {
	Ref, Room string
	Epoch     string
	Head      int64
	Messages  []Message // the newest page; empty where the client resumes
	More      bool      // there are older messages than these
	Reset     bool      // the resume point is gone: forget the room and start from Messages
	State     *Room     // what the room is; nil is left out
	Online    int       // how many users are here
	Users     []User    // who they are, in full or a sample
}

// AppendJoined appends a joined frame.
func AppendJoined(dst []byte, j *Joined) []byte {
	b := optString(open(dst, "joined"), "ref", j.Ref)
	b = optString(b, "room", j.Room)
	b = optString(b, "epoch", j.Epoch)
	b = appendInt(b, "head", j.Head)
	b = appendList(b, "messages", j.Messages, AppendMessageObject)
	b = optTrue(b, "more", j.More)
	b = optTrue(b, "reset", j.Reset)
	if j.State != nil {
		b = AppendRoomObject(appendKey(b, "state"), j.State)
	}
	b = appendInt(b, "online", int64(j.Online))
	return append(optList(b, "users", j.Users, appendUser), '}')
}

// Reset tells a session that its live cursor cannot be continued.
type Reset struct {
	Room, Epoch string
	Head        int64
	Messages    []Message // the newest page
	More        bool      // there are older messages than these
}

// AppendReset appends a reset frame.
func AppendReset(dst []byte, r *Reset) []byte {
	b := optString(open(dst, "reset"), "room", r.Room)
	b = optString(b, "epoch", r.Epoch)
	b = appendInt(b, "head", r.Head)
	b = appendList(b, "messages", r.Messages, AppendMessageObject)
	return append(optTrue(b, "more", r.More), '}')
}

// AppendSynced appends a synced frame: a lagging cursor has reached the head,
// or the log goes on under another epoch.
func AppendSynced(dst []byte, room, epoch string, rev int64) []byte {
	b := optString(open(dst, "synced"), "room", room)
	b = optString(b, "epoch", epoch)
	return append(appendInt(b, "rev", rev), '}')
}

// AppendLeft appends a left frame: the room may no longer be read.
func AppendLeft(dst []byte, room, code string) []byte {
	b := optString(open(dst, "left"), "room", room)
	return append(optString(b, "code", code), '}')
}

// AppendRoom appends a room frame: the room's settings have changed to these.
func AppendRoom(dst []byte, r *Room) []byte {
	b := optString(open(dst, "room"), "room", r.ID)
	b = appendInt(b, "rev", r.Rev)
	return append(AppendRoomObject(appendKey(b, "state"), r), '}')
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
