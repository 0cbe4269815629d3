package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gabblehq/chat"
)

var (
	errNoRoom    = &chat.Error{Code: chat.CodeNotFound, Message: "no such room"}
	errNoMessage = &chat.Error{Code: chat.CodeNotFound, Message: "no such message"}
	errRoomThere = &chat.Error{Code: chat.CodeConflict, Message: "the room exists already"}
	errIDTaken   = &chat.Error{Code: chat.CodeConflict, Message: "a message has this id already", Field: "id"}
	errChange    = &chat.Error{Code: chat.CodeInvalid, Message: "not a kind of change"}
	errClosed    = &chat.Error{Code: chat.CodeUnavailable, Message: "the store is closed"}
	errBusy      = &chat.Error{Code: chat.CodeUnavailable, Message: "the database is locked by another program"}
	errFull      = &chat.Error{Code: chat.CodeUnavailable, Message: "the disk is full"}
	errReplaced  = &chat.Error{Code: chat.CodeUnavailable, Message: "the file has been moved or replaced while it was open; start the program again"}
	errDamaged   = &chat.Error{Code: chat.CodeInternal, Message: "the stored message is damaged; it can only be deleted"}
)

// code is SQLite's result code, 0 if err is none of the driver's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

func primary(err error) int { return code(err) & 0xff }

// unavailable is a failure of the database as callers see it: the driver's
// words, without its type.
func unavailable(err error) error {
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return e
	}
	what := "the database does not answer"
	switch primary(err) {
	case sqlite3.SQLITE_FULL:
		what = errFull.Message
	case sqlite3.SQLITE_IOERR:
		what = "the disk fails"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		what = "the database is damaged"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		what = "the database is locked by another program"
	case sqlite3.SQLITE_READONLY:
		what = "the database cannot be written to"
	case sqlite3.SQLITE_TOOBIG:
		return (&chat.Error{Code: chat.CodeTooLarge, Message: "more than the database takes"}).WithCause(opaque(err))
	}
	return (&chat.Error{Code: chat.CodeUnavailable, Message: what}).WithCause(opaque(err))
}

// unknown is the error of a write that may have happened.
func unknown(err error) error {
	return fmt.Errorf("sqlite: %w: %w", chat.ErrUnknown, opaque(err))
}

// opaque keeps what an error says and drops what it is.
func opaque(err error) error { return errors.New(err.Error()) }

// spoils reports whether the failure of one statement is one of the whole
// transaction: of the disk or of memory, not of what the statement said.
func spoils(err error) bool {
	if err == errFull {
		return false // it has not been tried
	}
	switch primary(err) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CORRUPT:
		return false
	}
	return true
}
