package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"

	"github.com/gabblehq/chat"
)

// Store is a [chat.Store] in a directory. Acknowledged changes are on the disk
// (fsync). One process at a time may use the directory.
//
// A room is read when it is first asked for and stays in memory from then on,
// so this suits some thousands of rooms. What has been edited or deleted stays
// in the file; to be rid of it, rewrite the file with the newest states.
//
// There is nothing to close: files are open only while they are written. What
// is returned is a copy, which its receiver may change.
type Store struct {
	dir string

	mu    sync.Mutex
	rooms map[string]*slot // by key
}

// slot is a room's place in memory. Its lock keeps the room's calls in order,
// and a slow disk from delaying other rooms.
type slot struct {
	mu   sync.Mutex
	path string
	room *room // nil: not read yet, or no longer to be trusted
}

var _ chat.Store = (*Store)(nil)

// Open returns the Store in the directory, which it makes if it is not there.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Store{dir: dir, rooms: make(map[string]*slot)}, nil
}

// with calls f with the room locked and read.
func (s *Store) with(ctx context.Context, key string, f func(*slot) error) error {
	s.mu.Lock()
	at := s.rooms[key]
	if at == nil {
		// A key may hold any printable ASCII and file systems are particular,
		// so the file is named by a hash; its first line says whose it is.
		sum := sha256.Sum256([]byte(key))
		at = &slot{path: filepath.Join(s.dir, hex.EncodeToString(sum[:16])+".jsonl")}
		s.rooms[key] = at
	}
	s.mu.Unlock()

	at.mu.Lock()
	defer at.mu.Unlock()
	if ctx.Err() != nil { // maybe while it waited
		return chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
	}
	if at.room == nil {
		r, err := load(at.path, key)
		if err != nil {
			return unavailable(err)
		}
		at.room = r
	}
	return f(at)
}

// unavailable hides what went wrong from clients; the log gets it as text,
// because no caller should come to depend on errors of the backend.
func unavailable(err error) error {
	return (&chat.Error{Code: chat.CodeUnavailable, Message: "the store has failed"}).WithCause(opaque(err))
}

type opaqueError string

func (e opaqueError) Error() string { return string(e) }

func opaque(err error) error { return opaqueError(err.Error()) }

// Append implements [chat.Store]: all that the changes lead to becomes one
// line of the file, which is there as a whole or not at all.
func (s *Store) Append(ctx context.Context, key string, known chat.Position, changes []chat.Change) (results []chat.Result, err error) {
	err = s.with(ctx, key, func(at *slot) error {
		r := at.room
		fresh := !r.exists()
		var line []record
		if known.Epoch == r.epoch && known.Rev > r.rev {
			// The server has seen more than the file holds: somebody has put a
			// backup in its place. Positions must not be mistaken for the lost
			// ones, so they start over.
			line = r.take(line, record{Epoch: rand.Text()})
		}
		results = make([]chat.Result, len(changes))
		for i := range changes {
			if rec, changed := r.plan(&changes[i], &results[i]); changed {
				line = r.take(line, rec)
			}
			results[i].Position = r.head()
		}
		if len(line) == 0 {
			return nil
		}
		if fresh {
			line[0].Key = key
		}
		if err := write(at.path, line, fresh); err != nil {
			// What is on the disk is what counts. Who asks next reads it.
			at.room, results = nil, nil
			return err
		}
		return nil
	})
	return results, err
}

// Changes implements [chat.Store].
func (s *Store) Changes(ctx context.Context, key string, after int64, limit int) (page chat.Page, err error) {
	err = s.read(ctx, key, func(r *room) { page = r.changes(after, limit) })
	return page, err
}

// History implements [chat.Store].
func (s *Store) History(ctx context.Context, key string, q chat.Query) (page chat.Page, err error) {
	err = s.read(ctx, key, func(r *room) { page = r.history(q) })
	return page, err
}

// Head implements [chat.Store].
func (s *Store) Head(ctx context.Context, key string) (head chat.Position, err error) {
	err = s.read(ctx, key, func(r *room) { head = r.head() })
	return head, err
}

func (s *Store) read(ctx context.Context, key string, f func(*room)) error {
	return s.with(ctx, key, func(at *slot) error {
		if !at.room.exists() {
			return errNoRoom
		}
		f(at.room)
		return nil
	})
}
