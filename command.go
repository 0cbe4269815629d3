package chat

import (
	"context"
	"encoding/json"
	"net/netip"
)

// CommandType names what a client asks for. The values are those of the wire.
type CommandType string

// The commands that pass the middleware.
const (
	CmdConnect    CommandType = "connect" // a connection wants to be; before anybody is authenticated
	CmdAuth       CommandType = "auth"    // a session says who it is, or shows a fresh token
	CmdJoin       CommandType = "join"
	CmdLeave      CommandType = "leave"
	CmdMessage    CommandType = "message"
	CmdEdit       CommandType = "edit"
	CmdDelete     CommandType = "delete"
	CmdTyping     CommandType = "typing"
	CmdHistory    CommandType = "history"
	CmdMembers    CommandType = "members"
	CmdPresence   CommandType = "presence"
	CmdRooms      CommandType = "rooms"
	CmdCreateRoom CommandType = "create_room" // REST only, like the two below
	CmdUpdateRoom CommandType = "update_room"
	CmdDeleteRoom CommandType = "delete_room"
)

// Command is one request of a client, over WebSocket or REST, on its way
// through the middleware. A middleware may change what the client asked for
// before it calls next; afterwards it may read Result.
//
// An edit comes as the message that it would leave: ReplyTo, Thread, Mentions,
// Attachments and Meta hold what the message has where the edit says nothing of
// them, so that what is checked of a message is checked of it edited, too. What
// a middleware changes in them, the edit changes.
//
// A Command is valid until the handler returns. Keep copies, not the pointer.
type Command struct {
	Type CommandType
	Room string // the room it is about; for a join by user already the direct room's id
	Ref  string // the client's own name of the command, echoed in the answer

	User     User       // who asks; zero for CmdConnect, and for CmdAuth until next has returned nil
	Session  string     // id of the connection; empty over REST
	TraceID  string     // correlation id, also in the log lines of the delivery
	RemoteIP netip.Addr // the client's address, by trusted proxies only; invalid where there is none

	ID          string // message id, for CmdEdit and CmdDelete
	Content     string
	Nonce       string
	ReplyTo     string
	Thread      string
	Mentions    []string
	Attachments []Attachment
	Meta        json.RawMessage
	Hard        bool   // CmdDelete: leave no trace of the author
	Active      bool   // CmdTyping
	Peer        string // CmdJoin of a direct room: the other user

	// Result is the message that a CmdMessage, CmdEdit or CmdDelete led to,
	// once next has returned nil. It is a copy. A middleware that returns nil without it
	// has kept the command to itself: the client is told that it is held, see
	// docs/protocol.md.
	Result *Message
	// Duplicate says that Result had been stored before, under the same nonce.
	Duplicate bool

	call *call // what the server itself knows of the command
}

// Class is what commands cost alike, for limits and logs.
type Class string

// The classes of commands.
const (
	ClassConnect Class = "connect" // a connection, before anybody is authenticated
	ClassAuth    Class = "auth"
	ClassJoin    Class = "join"   // and leaving
	ClassRead    Class = "read"   // what shows something and changes nothing
	ClassWrite   Class = "write"  // what changes a room; what there is no such command of, too
	ClassSignal  Class = "signal" // what is told to others and kept nowhere
)

// Class returns the class of the command's Type.
func (c *Command) Class() Class {
	if k := commands[c.Type]; k != nil {
		return k.class
	}
	return unknownCommand.class
}

// Handler handles one command. Its error answers the client: an [Error] as it
// is, any other as internal, with the cause in the log only.
type Handler func(ctx context.Context, cmd *Command) error

// Middleware wraps a Handler. The first of Options.Middleware is the
// outermost. Every connect, auth and command passes the chain, over WebSocket
// and REST alike; host code that calls a Room does not.
//
// For one session, a command's middleware runs after the previous command has
// entered its room's queue. Middleware of different sessions runs
// concurrently. A panic is answered with internal and logged; it ends nothing
// but that command.
//
// An edit passes the chain anew where another one has meanwhile changed what the
// chain was shown of the message: what is stored is what it has let pass. After
// the third time it is answered conflict.
type Middleware func(next Handler) Handler

// chain wraps h with the middleware, the first outermost.
func chain(mw []Middleware, h Handler) Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i](h)
	}
	return h
}
