package chat

import (
	"context"
	"time"
)

// Store is where the logs of rooms live. It is the truth; everything that a
// Server holds beside it may be lost at any time.
//
// A room is a log: every change in it takes the next rev. The room argument is
// one opaque key of printable ASCII, at most 256 bytes; a Store must not read
// anything into it. Strings are valid UTF-8 without U+0000, Meta is valid JSON;
// both are kept byte for byte. All methods may be called concurrently, obey
// ctx, and return no type or error of the driver below, nor its words in
// Error.Message, which clients see: failures of the backend are
// [ErrUnavailable], or [ErrUnknown] where a write may have happened. No failure
// looks like an answer: like an empty page, a room that does not exist, a
// change that is acknowledged or has failed alone. A message that the backend
// finds damaged does not make its room unreadable: it is shown as deleted,
// without content, or left out of pages, and the log says so.
//
// What is passed in is the caller's again when the call has returned, and what
// is returned is the caller's, to be changed, appended to and kept: it shares
// no memory with the store or with what another caller has. What is shared says
// so: Page.Room and Page.Past.
//
// A store may come back as it was earlier: from a backup, after the crash of
// what was asynchronous, by a failover. Such a store gives each life of its
// data an id. The first write to a room in another life than that of the last
// one notes where the log ends, begins a new epoch, and shows the one before in
// Page.Past from then on; until then all is shown as it was.
//
// A store that lets go of messages by their age does not take a leap of the wall
// clock for time that has passed: one that is set right again has cost nothing.
//
// A backend of one's own is less work as a [storage.Store], which knows nothing
// of messages; [FromRecords] makes a Store of it. The package
// storage/storagetest proves an implementation, and the methods of [Change] help
// with it. Further powers are small optional interfaces:
// [RoomLister], [RoomRemover], [Retainer], [Trimmer], [EpochStarter],
// [Checker], and of stores that several servers share [Watcher] and
// [PresenceKeeper]. A wrapper shows those of the store below by a method
// Unwrap() Store.
type Store interface {
	// Append applies changes to the room's newest state, atomically and in
	// order, and answers each by itself: one that fails takes no position and
	// does not harm its neighbours.
	//
	// An error of the call means that nothing was written, or, where it
	// matches ErrUnknown, that nobody knows. Once Append has returned nil the
	// changes are durable to the degree that the backend documents.
	//
	// known is the highest position that this server has itself seen of the
	// room, zero if none. A store whose head has the same epoch and a lower
	// rev has been rolled back and starts a new epoch before it writes. It does
	// so without changes to write, too.
	Append(ctx context.Context, room string, known Position, changes []Change) ([]Result, error)

	// Changes returns what has changed after rev after, each changed thing
	// once, in its newest state, in rev order: one snapshot, complete for
	// (after, page.Through]. It holds at most limit entries; page.More says
	// that Through is below the head. An after at or beyond the head gives an
	// empty page. A room that does not exist is ErrNotFound.
	Changes(ctx context.Context, room string, after int64, limit int) (Page, error)

	// History returns messages sorted by seq, as q asks. A room that does not
	// exist is ErrNotFound.
	History(ctx context.Context, room string, q Query) (Page, error)

	// Head returns the end of the room's log. A room that does not exist is
	// ErrNotFound.
	Head(ctx context.Context, room string) (Position, error)
}

// MaxPast is how many earlier epochs of a log a store remembers.
const MaxPast = 32

// Position is a place in a room's log.
type Position struct {
	Epoch string // id of the log; positions of different epochs do not compare
	Rev   int64
	Seq   int64 // the highest seq handed out up to there; 0 in an Entry, and nothing reads it in a position to begin at
}

// ChangeKind says what a Change intends.
type ChangeKind uint8

// The kinds of changes.
const (
	// ChangeCreateRoom makes the room with Change.Room as its settings. On a
	// room that exists it fails with ErrConflict, and Result.Room is what is
	// there. It is the only change that a room that does not exist takes; all
	// others fail with ErrNotFound.
	ChangeCreateRoom ChangeKind = iota + 1
	// ChangeUpdateRoom sets those settings that Change.Update names.
	ChangeUpdateRoom
	// ChangeCreate adds Change.Message, whose ID, User, Kind, Content, Nonce,
	// ReplyTo, Thread, Mentions, Attachments and Meta are set. Where User and
	// Nonce name a message of this room that has been stored within the nonce's
	// lifetime, nothing is written and Result.Duplicate is set. An empty Nonce
	// is none, and an ID that the room has already is ErrConflict. Of a message
	// that retention has trimmed, Result.Message holds only ID, Seq, FirstRev,
	// User, Kind, Nonce and CreatedAt.
	ChangeCreate
	// ChangeEdit replaces the content of the message Change.Message.ID, and of
	// Mentions, Attachments and Meta those that are not nil. A deleted message
	// is ErrNotFound. Not nil but empty clears. With Change.Seen, an edit that
	// leaves alone one of these three that is no longer as it was seen is
	// ErrConflict.
	ChangeEdit
	// ChangeDelete empties the message Change.Message.ID of everything but
	// its id, seq, user, kind, nonce and times; with Change.Hard of user and
	// nonce too (a retry with that nonce still finds it).
	ChangeDelete
)

// Change is an intention, applied to the newest state, so that two servers
// cannot lose each other's updates.
type Change struct {
	Kind    ChangeKind
	At      time.Time // becomes CreatedAt, EditedAt or DeletedAt, in UTC and whole milliseconds
	Message Message
	Hard    bool
	Seen    *Message // of a ChangeEdit: the message that the decision to make it was based on; nil: any
	Room    RoomInfo
	Update  RoomUpdate
}

// Result answers one Change.
type Result struct {
	// Err is the failure of this change alone, an *Error.
	Err error
	// Duplicate: the nonce is known. Message is the stored one in its newest
	// state.
	Duplicate bool
	// Unchanged: the change asked for what is already so and took no rev.
	Unchanged bool
	// Position holds the log's epoch and the rev and head seq after this
	// change (with Duplicate or Unchanged: the head as it is).
	Position Position
	// Message is the new state of the message, for message changes.
	Message Message
	// Room is the new state of the room, for room changes.
	Room RoomInfo
}

// Query says which messages History returns. At most one of Before, After,
// Around, ID and Nonce is set; with none, the newest.
type Query struct {
	Limit  int   // at most so many messages; 0: none, just Page.Room and Page.Head
	Before int64 // those with seq < Before, the nearest
	After  int64 // those with seq > After, the nearest; to begin at the start use Around: 1
	Around int64 // half before, half from seq Around on; where one side has less, the other has more

	ID string // the one message with this id, or none

	// User and Nonce ask for the one message that this user sent with this
	// nonce, or none.
	User  string
	Nonce string
}

// Page is a consistent snapshot of part of a room.
type Page struct {
	Head Position  // the end of the log when the snapshot was taken
	Room *RoomInfo // the room's settings then; shared, not to be changed

	// Entries is what Changes found, in rev order.
	Entries []Entry
	// Through is how far Changes looked: cursors advance to it, not to the
	// last entry's rev.
	Through int64
	// Floor is the highest FirstRev among messages that retention has
	// trimmed, 0 if none was: a position below it cannot be continued.
	Floor int64

	// Past says where earlier epochs of this log ended: a store may come back as
	// it was earlier (a restored backup, the crash of what was asynchronous, a
	// failover), and then its log goes on under another epoch. Positions of an
	// epoch in it are positions of this log up to that Rev; those above are of
	// what is gone. Newest first, at most MaxPast of them; shared, not to be
	// changed. Stores that cannot go back leave it empty.
	Past []Position

	// Messages is what History found, sorted by seq.
	Messages []Message
	// More: there is more in the direction that was asked for; for Around,
	// that is towards the newer.
	More bool
}

// Good reports whether at is a position of the log that the page shows: of its
// epoch and not beyond its head, or of an earlier epoch and of the past that
// both have in common.
func (p *Page) Good(at Position) bool { return at.Rev <= p.common(at.Epoch) }

// common returns up to where positions of an epoch are positions of the log
// that the page shows, -1 where none are.
func (p *Page) common(epoch string) int64 {
	upTo := p.Head.Rev
	if epoch == p.Head.Epoch {
		return upTo
	}
	for _, past := range p.Past {
		upTo = min(upTo, past.Rev)
		if past.Epoch == epoch {
			return upTo
		}
	}
	return -1
}

// Entry is one changed thing in its newest state: a message or the room's
// settings. Exactly one of the pointers is set.
type Entry struct {
	Rev     int64
	Message *Message
	Room    *RoomInfo

	// Position is where a reader of [Room.Changes] stands who has handled the entry:
	// store it, and begin there the next time. Stores leave it alone. Its Seq is not set:
	// what was created before and changed after is not among the entries up to it.
	Position Position
}

// RoomLister is a Store that can enumerate its rooms.
type RoomLister interface {
	// ListRooms returns rooms whose key has the prefix and sorts after after,
	// by key in byte order, at most limit, and whether there are more.
	ListRooms(ctx context.Context, prefix, after string, limit int) (rooms []RoomSummary, more bool, err error)
}

// DirectLister is a RoomLister that finds the direct rooms of a user without
// looking at those of others. Where a Store is none, every list of rooms that a
// client asks for goes through all direct rooms there are.
type DirectLister interface {
	// ListDirect is ListRooms of those rooms alone that have the user among
	// their Peers.
	ListDirect(ctx context.Context, prefix, user, after string, limit int) (rooms []RoomSummary, more bool, err error)
}

// RoomSummary is one room in a list.
type RoomSummary struct {
	Key         string
	Room        RoomInfo
	Head        Position
	LastMessage *Message // nil: none, or deleted
}

// RoomRemover is a Store that can remove a room with all that is in it. The
// room does not exist afterwards; created again, it has another epoch.
type RoomRemover interface {
	RemoveRoom(ctx context.Context, room string) error
}

// Retainer is a Store that can say that it keeps everything. Of one that does
// not, a Server asks how far a room has been trimmed before it lets a client go
// on from what it holds in memory itself.
type Retainer interface {
	// KeepsAll reports whether no message ever goes by age or number.
	KeepsAll() bool
}

// Trimmer is a Store that can be told to let go of a room's oldest messages. The
// servers that share it keep the log by which they tell each other what must not
// be missed short with it.
type Trimmer interface {
	// Trim lets go of all but the newest keep messages, one at least, as
	// retention by number does: seqs and revs go on, Page.Floor rises. A room that does not exist is
	// ErrNotFound.
	Trim(ctx context.Context, room string, keep int) error
}

// EpochStarter is a Store that can be told to start a new epoch of a room:
// what is stored stays, positions stop being comparable, clients start over.
// A room that does not exist is ErrNotFound.
type EpochStarter interface {
	NewEpoch(ctx context.Context, room string) (Position, error)
}

// Checker is a Store that can tell whether a change could be made now. That is
// another matter than whether it answers: a disk or a memory may be full, or a
// server be a replica for a while. GET /readyz asks it.
type Checker interface {
	// Check returns an error, ErrUnavailable as a rule, where nothing can be
	// stored at present.
	Check(ctx context.Context) error
}

// capability finds an optional interface of a store or of one that it wraps.
func capability[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var zero T
	return zero, false
}
