package chat

import "context"

// Action is what somebody wants to do in a room.
type Action string

// The actions that Authorize is asked about.
const (
	ActionCreate   Action = "create"   // create the room, explicitly or by joining it
	ActionRead     Action = "read"     // join, read history, see who is there
	ActionWrite    Action = "write"    // send, edit and delete own messages, show as typing
	ActionModerate Action = "moderate" // edit and delete messages of others, change or delete the room
)

// Authorizer decides whether a user may do something in a room: nil means
// yes, an error no. It is asked on every command, from the room's current
// settings, so it should be quick; it may be called concurrently.
//
// Who may not read a room is told that there is none.
type Authorizer func(ctx context.Context, user User, action Action, room RoomInfo) error

// DefaultAuthorize is the table that holds where Options.Authorize is nil:
//
//	            create  read  write  moderate
//	public      yes     yes   yes    no
//	direct      peers   peers peers  no
//	others      no      no    no     no
//
// A host's own Authorizer may fall back on it. Authors may edit and delete
// their own messages wherever they may write.
func DefaultAuthorize(_ context.Context, user User, action Action, room RoomInfo) error {
	switch action {
	case ActionCreate, ActionRead, ActionWrite:
		if room.Kind == RoomPublic || room.Kind == RoomDirect && room.isPeer(user.ID) {
			return nil
		}
	}
	return &Error{Code: CodeForbidden, Message: "not allowed in this room"}
}
