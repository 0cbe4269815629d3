package wire

// Join is one entry of a join's rooms. Its fields are as in [Command].
type Join struct {
	Room, User, Epoch string
	History           int
	After             int64
}

func (c *Command) checkJoin() *Error {
	if c.Rooms == nil {
		j := Join{Room: c.Room, User: c.User, Epoch: c.Epoch, History: c.History, After: c.After}
		return j.check()
	}
	switch {
	case c.Room != "" || c.User != "":
		return invalid("rooms", "room, user and rooms exclude each other")
	case c.History >= 0 || c.After >= 0 || c.Epoch != "":
		return invalid("rooms", "history, after and epoch belong to each of the rooms")
	case len(c.Rooms) == 0 || len(c.Rooms) > MaxRooms:
		return invalid("rooms", "must be 1 to %d", MaxRooms)
	}
	for i := range c.Rooms {
		if err := c.Rooms[i].check(); err != nil {
			err.Field = itemField("rooms", i, err.Field)
			return err
		}
	}
	return checkTwice(c.Rooms)
}

// checkTwice refuses a room or a user that is there twice: what the second
// would be answered, after the first, is nothing that anybody could want.
func checkTwice(list []Join) *Error {
	seen := make(map[Join]struct{}, len(list))
	for i := range list {
		key := Join{Room: list[i].Room, User: list[i].User}
		if _, twice := seen[key]; twice {
			field := "room"
			if key.User != "" {
				field = "user"
			}
			return invalid(itemField("rooms", i, field), "is there twice")
		}
		seen[key] = struct{}{}
	}
	return nil
}

func (j *Join) check() *Error {
	switch {
	case j.Room != "" && j.User != "":
		return invalid("user", "room and user exclude each other")
	case j.User != "" && !ValidUserID(j.User):
		return invalid("user", "must be 1 to %d bytes of UTF-8 without control characters", MaxUserID)
	case j.History >= 0 && j.After >= 0:
		return invalid("after", "history and after exclude each other")
	case j.After >= 0 && j.Epoch == "":
		return invalid("epoch", "is required beside after")
	}
	if j.User == "" {
		if err := checkRoom("room", j.Room); err != nil {
			return err
		}
	}
	return checkID("epoch", j.Epoch)
}

func (p *parser) join() Join {
	j := Join{History: -1, After: -1}
	if !p.isObject() {
		return j
	}
	for name := range p.names {
		switch string(name) {
		case "room":
			j.Room = p.string("room")
		case "user":
			j.User = p.string("user")
		case "epoch":
			j.Epoch = p.string("epoch")
		case "history":
			j.History = p.count("history", -1)
		case "after":
			j.After = p.position("after", -1)
		default:
			p.value()
		}
	}
	return j
}

func joinFields(b []byte, j *Join) []byte {
	b = optString(b, "room", j.Room)
	b = optString(b, "user", j.User)
	b = optString(b, "epoch", j.Epoch)
	b = optPosition(b, "history", int64(j.History))
	return optPosition(b, "after", j.After)
}

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
