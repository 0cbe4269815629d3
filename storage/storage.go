// Package storage is the contract between Gabble and what keeps its rooms: a
// log of records.
//
// A store knows records, lists and the log, and never what they mean. A room is
// a log of which every change takes the next rev; what has changed is a record,
// a body under a key; and records stand in lists, each with a seq of its own.
// What a message is, or an edit, or a member, and what it does to the records
// of a room, is decided above, by the [Tx] that a store is given.
//
// A backend of one's own is the four methods of [Store]; chat.FromRecords makes of
// it what a server needs. The package storagetest proves an implementation.
package storage

import (
	"context"
	"time"
)

// Store keeps rooms. It is the truth: everything that a server holds beside it
// may be lost at any time.
//
// The room argument is one opaque name of printable ASCII, at most [MaxRoom]
// bytes. A room comes into being with the first Tx that may make it and writes
// something.
//
// All methods may be called concurrently, obey ctx, and return no type and no
// text of the driver below: see [Error]. What they return shares memory with
// the store, with other callers and with what the store has been given: nobody
// writes to it.
//
// A store may come back as it was earlier: from a backup, after the crash of
// what was asynchronous, by a failover. Such a store gives each life of its
// data an id. The first write to a room in another life than that of the last
// one notes where the log ends, begins a new epoch, and shows the one before in
// Page.Past from then on; until then all is shown as it was.
type Store interface {
	// Commit has tx decide on the room's newest state and writes what it has
	// decided, all of it or nothing.
	//
	// An error means that nothing was written, or, where it matches
	// [ErrUnknown], that nobody knows. Once Commit has returned nil, what it
	// has written is durable to the degree that the backend documents. A room
	// that does not exist is [ErrNotFound], unless tx.Make is set, or [ErrLost].
	//
	// known is the highest position of the room that this server has itself
	// seen, zero if none. A store whose head has the same epoch and a lower rev
	// has been rolled back and starts a new epoch before it writes. It does so
	// where there is nothing to write, too.
	Commit(ctx context.Context, room string, known Position, tx Tx) (Outcome, error)

	// Changes returns the records that have a rev above after, each once, in
	// its newest state, in rev order: one snapshot, complete for
	// (after, page.Through], of at most limit records; page.More says that
	// Through is below the head. Records that have been removed are among them,
	// without a body. An after at or beyond the head gives an empty page. keys
	// are of records for page.Keyed. A room that does not exist is ErrNotFound.
	Changes(ctx context.Context, room string, after int64, limit int, keys ...string) (Page, error)

	// Read returns records by key and of a list, as q asks, in one snapshot. A
	// room that does not exist is ErrNotFound.
	Read(ctx context.Context, room string, q Query) (Page, error)

	// Head returns the end of the room's log. A room that does not exist is
	// ErrNotFound.
	Head(ctx context.Context, room string) (Position, error)
}

// Limits of what a store is asked to take. Who asks keeps to them.
const (
	MaxRoom = 256     // bytes of a room's name
	MaxKey  = 256     // bytes of a record's key and of a list's name
	MaxBody = 1 << 20 // bytes of a record's body
	MaxPast = 32      // earlier epochs of a log that a store remembers
)

// Position is a place in a room's log.
type Position struct {
	Epoch string // id of the log; positions of different epochs do not compare
	Rev   int64
	Seq   int64 // the highest seq handed out in the main list up to there
}

// Main is the name of a room's main list, its conversation. Retention is about
// it.
const Main = ""

// Record is one thing that a room keeps, in its newest state.
type Record struct {
	// Key is unique in the room: valid UTF-8 without U+0000, at most MaxKey
	// bytes, as the names of lists are.
	Key string
	// Rev is the position of the write that was logged last, FirstRev that of
	// the first. Both are zero where none was.
	Rev, FirstRev int64
	// Places are where the record stands in lists, in the order in which it
	// joined them.
	Places []Place
	// At is when the record was made, in UTC and whole milliseconds.
	At time.Time
	// Like is the key of the record whose Rev, FirstRev, Places and At these
	// are, see [Write]; "": none, they are its own.
	Like string
	// Body is a JSON object, kept byte for byte; nil in Changes if the record
	// has been removed, and anywhere if the store has found it damaged.
	Body []byte
}

// Seq returns the record's place in a list, 0 if it has none.
func (r *Record) Seq(list string) int64 {
	for _, p := range r.Places {
		if p.List == list {
			return p.Seq
		}
	}
	return 0
}

// Place is a record's place in a list. Seqs count from 1, per list, dense as
// they are handed out, and never change hands.
type Place struct {
	List string
	Seq  int64
}

// Tx is a decision about a room that rests on some of its records.
type Tx struct {
	// Reads are the keys of records that Decide looks at.
	Reads []string

	// Absent are further ones, of records that as a rule are not there. A store
	// may first call Decide as if so, and find out whether it is in the round
	// trip in which it writes.
	Absent []string

	// Make lets the room come into being.
	Make bool

	// Decide says what is to be written, in order; nil: nothing. Revs and seqs
	// are given out afterwards, so a decision does not rest on them, and one
	// that only adds is not disturbed by others that only add. Decide may be
	// called several times, with what is really there; what it says last
	// counts. It does not block. It may be called by any goroutine, by one at a
	// time.
	Decide func(View) []Write
}

// View is what a Tx sees of a room.
type View struct {
	Exists  bool     // the room is there
	Records []Record // those of the Tx's keys that are there, in no particular order
}

// Get returns the record of a key that the Tx reads, nil if there is none.
func (v *View) Get(key string) *Record {
	for i := range v.Records {
		if v.Records[i].Key == key {
			return &v.Records[i]
		}
	}
	return nil
}

// Write is a new state of a record.
type Write struct {
	Key string
	// Body is the new body. Nil removes the record from all lists and all
	// reads; where it is Logged, Changes goes on to tell of it.
	Body []byte
	// Logged writes take the next rev, others do not: nobody who follows the
	// room is told of those.
	Logged bool
	// Lists are lists to join, at the next seq of each. A record stays where it
	// stands already.
	Lists []string
	// Leaves are lists to leave. The seq there is not given out again.
	Leaves []string
	// Like is the key of a record that an earlier Write of the same Tx has
	// written: this one points at it, and notes its Rev, FirstRev, Places and At
	// as they are then, so that it can tell of them when that record is gone. It
	// is in no list by that, and not Logged. Only the first Write of a record can
	// have it.
	Like string
	// At is when the record was made, by which it ages; it counts where the
	// record is new, and is kept in whole milliseconds. Zero: now.
	At time.Time
	// Keep is after how long the record may be forgotten, by the time that
	// passes in the store; 0: it lives with the room.
	Keep time.Duration
}

// Outcome is what a Commit has done.
type Outcome struct {
	// Head is the end of the log after it. With the zero epoch there is no room
	// still: nothing was to be written.
	Head Position
	// Writes tells of each Write of the last decision, in order, how the record
	// stands after it.
	Writes []Written
}

// Written is how a record stands after a Write.
type Written struct {
	Rev, FirstRev int64
	Places        []Place
}

// Query says which records Read returns.
type Query struct {
	// Keys are of records for Page.Keyed.
	Keys []string

	// List is the list that Page.Records are of. At most one of Before, After
	// and Around is set; with none, it is about the newest.
	List   string
	Limit  int   // at most so many records; 0: none
	Before int64 // those with seq < Before, the nearest
	After  int64 // those with seq > After, the nearest; to begin at the start use Around: 1
	Around int64 // half before, half from seq Around on; where one side has less, the other has more
}

// Page is a consistent snapshot of part of a room.
type Page struct {
	Head Position // the end of the log when the snapshot was taken

	// Records is what Changes found, in rev order, or Read in a list, in that
	// of its seqs.
	Records []Record
	// Keyed are the records that were asked for by key and that are there, in
	// that order.
	Keyed []Record
	// More: there is more in the direction that was asked for; for Around, that
	// is towards the newer.
	More bool
	// Last is the highest seq handed out in the list that was asked for.
	Last int64

	// Through is how far Changes looked: cursors advance to it, not to the
	// last record's rev.
	Through int64
	// Floor is the highest FirstRev among records that retention has trimmed,
	// 0 if none was: a position below it cannot be continued.
	Floor int64

	// Past says where earlier epochs of this log ended, see [Store]. Positions
	// of an epoch in it are positions of this log up to that Rev; those above
	// are of what is gone. Newest first, at most MaxPast of them. Stores that
	// cannot go back leave it empty.
	Past []Position
}
