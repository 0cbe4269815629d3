package chat

import (
	"context"
	"net/http"

	"github.com/gabblehq/chat/internal/wire"
)

// command is all that the server knows of one kind of command. Each is beside
// what it is about, in a file of its own; frames and REST both go by it.
type command struct {
	typ    CommandType
	class  Class
	action Action // that its user needs in its room; "": run sees to it

	// In the order in which they are called, each a method of call. Nil means that
	// there is nothing to do.
	take    func(c *call)                            // what it takes from a frame, beside the room
	foresee func(c *call, ctx context.Context) error // completes it for middleware to see
	check   func(c *call) error                      // holds it to the limits, before its room is asked for
	run     func(c *call, ctx context.Context, in visit) error
	reply   func(c *call, ctx context.Context) (wire.Reply, error) // nil: an ack, and no content over REST

	// again is for a reply that shows what a permission is needed for: where one
	// has ended since it was checked, again checks it anew. Such a reply goes out
	// whether the client has given a ref or not.
	again func(c *call, ctx context.Context) error

	silent bool // run has answered
	once   bool // what was stored under the same nonce answers it, whatever refuses it now

	routes []route
}

// route is a way to give a command over REST.
type route struct {
	pattern string
	read    func(c *call, r *http.Request) error                   // what else than the path's room it says; nil: nothing
	status  int                                                    // of success
	reply   func(c *call, ctx context.Context) (wire.Reply, error) // nil: the command's
}

// visit is a room for as long as a command runs in it: its user may do the
// command's action there. It is zero for a command that names no action.
type visit struct {
	room *liveRoom
	info *RoomInfo
}

// commands are all that there are.
var commands = func(list ...*command) map[CommandType]*command {
	m := make(map[CommandType]*command, len(list))
	for _, k := range list {
		m[k.typ] = k
	}
	return m
}(
	&connectCommand, &authCommand,
	&joinCommand, &leaveCommand,
	&messageCommand, &editCommand, &deleteCommand,
	&historyCommand,
	&membersCommand, &presenceCommand, &typingCommand,
	&roomsCommand, &createRoomCommand, &updateRoomCommand, &deleteRoomCommand,
)

// unknownCommand is what a command is of which there is no kind.
var unknownCommand = command{
	class: ClassWrite,
	run: func(*call, context.Context, visit) error {
		return (&Error{Code: CodeInvalid, Message: "unknown type"}).WithField("type")
	},
}

// kind is what the server knows of commands of a type.
func (s *Server) kind(typ CommandType) *command {
	if k := s.commands[typ]; k != nil {
		return k
	}
	return &unknownCommand
}

// execute is the handler behind all middleware.
func (s *Server) execute(ctx context.Context, cmd *Command) error {
	c := cmd.call
	if c == nil {
		return Errorf(CodeInternal, "middleware passed on a Command of its own making")
	}
	k := s.kind(cmd.Type)
	if k.check != nil {
		if err := k.check(c); err != nil {
			return err
		}
	}
	if k.action == "" {
		return k.run(c, ctx, visit{})
	}
	in, err := c.open(ctx, k.action)
	if err != nil {
		return err
	}
	given := false
	defer func() {
		if !given {
			in.room.release()
		}
	}()
	err = k.run(c, ctx, in)
	given = err == errEntered || err == errPassed
	return err
}

// answer is what a command has come to, by the reply of its kind or route.
func (c *call) answer(ctx context.Context, reply func(*call, context.Context) (wire.Reply, error)) (wire.Reply, error) {
	if reply == nil {
		c.ack = wire.Ack{Ref: c.wire.Ref, Room: c.cmd.Room}
		return &c.ack, nil
	}
	return reply(c, ctx)
}

// shown answers with what has been found.
func (c *call) shown(context.Context) (wire.Reply, error) {
	if c.found == nil {
		return c.held()
	}
	return c.found, nil
}

// held is the answer to a command that a middleware has kept to itself.
func (c *call) held() (wire.Reply, error) {
	c.ack = wire.Ack{Ref: c.wire.Ref, Room: c.cmd.Room, Held: true}
	return &c.ack, nil
}
