package wire

import "encoding/json"

// The types of the frames that clients send.
const (
	TypeAuth     = "auth"
	TypeJoin     = "join"
	TypeLeave    = "leave"
	TypeMessage  = "message"
	TypeEdit     = "edit"
	TypeDelete   = "delete"
	TypeTyping   = "typing"
	TypeHistory  = "history"
	TypePresence = "presence"
	TypeMembers  = "members"
	TypeRooms    = "rooms"
	TypePing     = "ping"
)

// types are all that clients send, the most frequent first, and what each has
// to keep to beside what holds for all.
var types = [...]struct {
	name  string
	check func(*Command) *Error
}{
	{TypeMessage, (*Command).checkMessage},
	{TypeTyping, (*Command).checkRoom},
	{TypePing, nil},
	{TypeJoin, (*Command).checkJoin},
	{TypeLeave, (*Command).checkRoom},
	{TypeHistory, (*Command).checkHistory},
	{TypeEdit, (*Command).checkEdit},
	{TypeDelete, (*Command).checkDelete},
	{TypeAuth, (*Command).checkAuth},
	{TypePresence, (*Command).checkOnline},
	{TypeMembers, (*Command).checkOnline},
	{TypeRooms, (*Command).checkCursor},
}

// Command is one frame of a client: the fields of all types side by side, of
// which each type uses its own. A field that was absent, or null, is zero,
// except where its comment says otherwise.
//
// A Command owns everything in it and may be decoded into again; what had been
// taken out of it stays valid.
type Command struct {
	Type string
	Ref  string // the client's own name of the command, echoed in the answer

	Token string // auth

	Room  string
	User  string // join: the other user of a direct room
	Rooms []Join // join: several at once
	Epoch string // join: the log that After belongs to

	History int   // join: the newest n messages; -1 absent: as many as the server likes, 0 none
	After   int64 // join: a rev; history: a seq; -1 absent
	Before  int64 // history: a seq; -1 absent
	Around  int64 // history: a seq; -1 absent
	Limit   int   // history, members, presence, rooms: at least 1 where given; 0 absent
	Cursor  string

	ID          string // edit, delete: the message
	Content     string
	HasContent  bool // content was given, be it empty
	Nonce       string
	ReplyTo     string
	Thread      string
	Mentions    []string // user ids
	Attachments []Attachment
	Meta        json.RawMessage // a JSON object without white space around its tokens; nil absent

	Hard   bool // delete
	Active bool // typing; true when absent
}

// NewCommand returns a command of the type in which everything else is absent.
func NewCommand(typ string) Command {
	return Command{Type: typ, History: -1, After: -1, Before: -1, Around: -1, Active: true}
}

// Decode reads one frame. The payload is not kept.
//
// The error is an [*Error] with code invalid, or too_large where a meta object
// is. It names the field at fault, and the ref wherever that could be read; the
// command holds nothing of use then.
func (c *Command) Decode(payload []byte) error {
	*c = NewCommand("")
	p := newParser(payload)
	defer p.free()
	p.command(c)
	return p.verdict(c)
}

// DecodeBody reads the body of a REST request by the rules of the frame that
// does the same. The request itself says what is wanted of what: what the body
// says of type, room and id does not count, nor does a ref.
func (c *Command) DecodeBody(typ, room, id string, body []byte) error {
	*c = NewCommand("")
	p := newParser(body)
	defer p.free()
	p.command(c)
	c.Type, c.Room, c.ID, c.Ref = typ, room, id, ""
	return p.verdict(c)
}

// AppendCommand appends a command as a client sends it. What Decode reads of
// it is the same command, if it keeps the rules of [Command.Check].
func AppendCommand(dst []byte, c *Command) []byte {
	b := optString(open(dst, c.Type), "ref", c.Ref)
	b = optString(b, "token", c.Token)
	b = joinFields(b, &Join{Room: c.Room, User: c.User, Epoch: c.Epoch, History: c.History, After: c.After})
	if c.Rooms != nil {
		b = appendList(b, "rooms", c.Rooms, func(b []byte, j *Join) []byte {
			return append(joinFields(open(b, ""), j), '}')
		})
	}
	b = optPosition(b, "before", c.Before)
	b = optPosition(b, "around", c.Around)
	b = optInt(b, "limit", int64(c.Limit))
	b = optString(b, "cursor", c.Cursor)
	b = optString(b, "id", c.ID)
	if c.HasContent || c.Content != "" {
		b = appendString(b, "content", c.Content)
	}
	b = optString(b, "nonce", c.Nonce)
	b = optString(b, "reply_to", c.ReplyTo)
	b = optString(b, "thread", c.Thread)
	b = optStrings(b, "mentions", c.Mentions)
	b = optList(b, "attachments", c.Attachments, appendAttachment)
	b = optRaw(b, "meta", c.Meta)
	b = optTrue(b, "hard", c.Hard)
	if c.Type == TypeTyping || !c.Active {
		b = appendBool(b, "active", c.Active)
	}
	return append(b, '}')
}

// optPosition leaves out what is absent. Zero is a position like any other.
func optPosition(b []byte, name string, n int64) []byte {
	if n < 0 {
		return b
	}
	return appendInt(b, name, n)
}

// Check holds the command to the rules of its type. Decoding has done so; it
// is for commands that were filled in by hand. Meta is not looked into, that
// is what [CompactMeta] is for.
func (c *Command) Check() error {
	if err := c.check(); err != nil {
		err.refer(c.Ref)
		return err
	}
	return nil
}

func (c *Command) check() *Error {
	if len(c.Ref) > MaxRef {
		return invalid("ref", "is longer than %d bytes", MaxRef)
	}
	for i := range types {
		if t := &types[i]; t.name == c.Type {
			if t.check == nil {
				return nil
			}
			return t.check(c)
		}
	}
	if c.Type == "" {
		return invalid("type", "is required")
	}
	return invalid("type", "is not a type of this protocol")
}

func first(errs ...*Error) *Error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
