package chat

import (
	"context"
	"errors"
	"time"
)

// Watcher is a Store that several servers share, and that tells each what the
// others do. All that it tells are hints: the store is the truth, and what is
// in doubt is read from it.
type Watcher interface {
	// Watch tells l what happens in the store, to rooms of any key, the
	// caller's own doings included or not, until ctx ends; then it returns
	// ctx's error. It begins with Missed(nil), once it will miss nothing more.
	//
	// What is appended to a room or signed in to it is told within two
	// seconds, by Appended or Present or else by a Missed that covers the room,
	// whatever is lost between the servers, for as long as the store can be
	// reached. While it cannot be, Watch tries again by itself, and it calls
	// Missed when it has succeeded. Only what no time can mend is an error.
	Watch(ctx context.Context, l Listener) error

	// Signal tells all who watch, the caller included or not: l.Signal gets
	// room and data, at most 4 KiB or it is ErrTooLarge, soon or never. It does
	// not keep data.
	Signal(ctx context.Context, room string, data []byte) error

	// Heads returns the end of each room's log: what Head returns, or, for a
	// room that does not exist, the zero Position where the store has lost it,
	// or may have, and one with a Rev of -1 where it has been removed or never
	// was. Only a store whose data can vanish under running servers ever
	// answers zero.
	Heads(ctx context.Context, rooms []string) ([]Position, error)
}

// Listener is told what happens in a shared store. Its methods do not block
// and may be called concurrently. What happens in one room is told in the order
// of its log, perhaps more than once.
type Listener interface {
	// Appended: the room's log has moved.
	Appended(h Hint)
	// Present: people have come to or gone from the room on some server.
	Present(room string, changes []Attendance)
	// Signal: some server has called Watcher.Signal.
	Signal(room string, data []byte)
	// Missed: what happened to rooms of which covers reports true may not have
	// been told. A nil covers means every room. It may be called with the same
	// rooms again and again.
	Missed(covers func(room string) bool)
}

// Hint says that a room's log has moved to Head, or that the room is gone.
type Hint struct {
	Room string
	Head Position // Rev -1: the room has been removed

	// Entries, where it is not nil, returns the changes of (After, Head.Rev],
	// each at its own rev in the state that it had then, or an error where they
	// cannot be read. It spares those who follow the room a read of the store.
	// It may be called after Appended has returned, once.
	Entries func() ([]Entry, error)
	After   int64
}

// Attendance is one user in one room on one node.
type Attendance struct {
	Room string
	Node string // printable ASCII, at most 64 bytes; what Attend is told of is the node's, whatever is here
	User User   // only ID, Name and Avatar
	Gone bool   // has left, rather than come
}

// PresenceKeeper is a [Watcher] that keeps who is in which room on which node,
// for as long as the node renews its lease. A node is one running Server.
type PresenceKeeper interface {
	// Attend notes changes on a node, in order, and renews its lease; a lease
	// of zero ends it. Watchers are told of the changes by Listener.Present,
	// the ends of leases they find out from nodes, the ids of all nodes whose
	// lease has not run out. When lapsed is true, the node's lease had run out
	// or was never there: everything it has said before is forgotten, and only
	// changes count. Everything a node has said is forgotten with its lease.
	Attend(ctx context.Context, node string, lease time.Duration, changes []Attendance) (nodes []string, lapsed bool, err error)

	// Attendances returns who is in the rooms, on every node whose lease has
	// not run out, in no particular order.
	Attendances(ctx context.Context, rooms []string) ([]Attendance, error)
}

// ErrLost is what a Store's Append gives the changes (Result.Err, wrapped in
// an error that is ErrNotFound) when the room does not exist although known is
// set, and nobody has removed it: the store has lost it. The server makes it
// anew from what it remembers of its settings, as another log. Stores whose
// data cannot vanish under running servers have no use for it.
var ErrLost = errors.New("chat: the store has lost the room")
