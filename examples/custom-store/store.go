package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gabblehq/chat/storage"
)

// Store is a [storage.Store] in a directory. What Commit has acknowledged is on
// the disk (fsync). One process at a time may use the directory.
//
// A room is read when it is first asked for and stays in memory from then on, so
// this suits some thousands of rooms. Nothing leaves its file, not what has been
// removed either; to be rid of it, rewrite the file with the newest states.
//
// There is nothing to close: files are open only while they are written.
type Store struct {
	dir   string
	mu    sync.Mutex
	rooms map[string]*slot // by name
}

// slot is a room's place in memory. Its lock keeps the room's calls in order,
// and a slow disk from delaying other rooms.
type slot struct {
	mu   sync.Mutex
	path string
	room *room // nil: not read yet, or no longer to be trusted
}

// room is one log, as far as its file says.
type room struct {
	epoch   string                    // "": the room does not exist
	records map[string]storage.Record // by key; without a body: removed
	log     []string                  // log[i] is the key that took rev i+1
	lists   map[string][]string       // keys by seq, from 1; "": has left
}

// line is what one Commit adds to a room's file, as JSON.
type line struct {
	Room    string `json:"room,omitempty"`  // in the first line: whose file it is
	Epoch   string `json:"epoch,omitempty"` // begins here
	Records []kept `json:"records"`         // as they are now
}

// kept is a record in the file. A body is a string there, because encoding/json
// would tidy up what has to stay byte for byte.
type kept struct {
	storage.Record
	Body    string
	Removed bool `json:",omitempty"`
}

var _ storage.Store = (*Store)(nil)

// Open returns the Store in the directory, which it makes if it is not there.
func Open(dir string) (*Store, error) {
	return &Store{dir: dir, rooms: make(map[string]*slot)}, os.MkdirAll(dir, 0o700)
}

// with calls f with the room locked and read.
func (s *Store) with(ctx context.Context, name string, f func(*slot) error) error {
	s.mu.Lock()
	at := s.rooms[name]
	if at == nil {
		// A name may hold any printable ASCII and file systems are particular, so
		// the file is named by a hash.
		sum := sha256.Sum256([]byte(name))
		at = &slot{path: filepath.Join(s.dir, hex.EncodeToString(sum[:16])+".jsonl")}
		s.rooms[name] = at
	}
	s.mu.Unlock()
	at.mu.Lock()
	defer at.mu.Unlock()
	if ctx.Err() != nil { // maybe while it waited
		return &storage.Error{Kind: storage.ErrUnavailable, Message: "given up before it began", Cause: context.Cause(ctx)}
	}
	if at.room == nil {
		r, err := load(at.path, name)
		if err != nil {
			return failed(storage.ErrUnavailable, err)
		}
		at.room = r
	}
	return f(at)
}

func failed(kind, err error) error {
	return &storage.Error{Kind: kind, Message: "the store has failed", Cause: err}
}

// Commit implements [storage.Store]: all that tx decides becomes one line of the
// file, which is there as a whole or not at all.
func (s *Store) Commit(ctx context.Context, name string, known storage.Position, tx storage.Tx) (out storage.Outcome, err error) {
	err = s.with(ctx, name, func(at *slot) error {
		r, next := at.room, line{}
		if r.epoch == "" {
			if !tx.Make {
				return storage.ErrNotFound
			}
			next.Room, next.Epoch = name, rand.Text()
		} else if known.Epoch == r.epoch && known.Rev > int64(len(r.log)) {
			// The server has seen more than the file holds: somebody has put a
			// backup in its place. Positions start over.
			next.Epoch = rand.Text()
		}
		view := storage.View{Exists: r.epoch != ""}
		for _, key := range slices.Concat(tx.Reads, tx.Absent) {
			if rec := r.records[key]; rec.Body != nil {
				view.Records = append(view.Records, rec)
			}
		}
		var writes []storage.Write
		if tx.Decide != nil {
			writes = tx.Decide(view)
		}
		for i := range writes {
			rec := r.write(&writes[i])
			out.Writes = append(out.Writes, storage.Written{Rev: rec.Rev, FirstRev: rec.FirstRev, Places: rec.Places})
			next.Records = append(next.Records, kept{rec, string(rec.Body), rec.Body == nil})
		}
		if len(writes) > 0 || view.Exists && next.Epoch != "" {
			if err := add(at.path, &next); err != nil {
				// What is on the disk is what counts. Who asks next reads it.
				at.room = nil
				return err
			}
			r.epoch = cmp.Or(next.Epoch, r.epoch)
		}
		out.Head = r.head()
		return nil
	})
	return out, err
}

// write makes the new state of a record.
func (r *room) write(w *storage.Write) storage.Record {
	rec := r.records[w.Key]
	if rec.Body == nil { // it is new, or anew
		rec = storage.Record{Key: w.Key, At: w.At.UTC().Truncate(time.Millisecond), Rev: rec.Rev}
		if w.At.IsZero() {
			rec.At = time.Now().UTC().Truncate(time.Millisecond)
		}
	}
	if rec.Body = w.Body; w.Logged {
		if rec.Rev = int64(len(r.log)) + 1; rec.FirstRev == 0 {
			rec.FirstRev = rec.Rev
		}
	}
	rec.Places = slices.DeleteFunc(slices.Clone(rec.Places), func(p storage.Place) bool {
		return w.Body == nil || slices.Contains(w.Leaves, p.List)
	})
	for _, list := range w.Lists {
		if rec.Seq(list) == 0 {
			rec.Places = append(rec.Places, storage.Place{List: list, Seq: int64(len(r.lists[list])) + 1})
		}
	}
	if w.Like != "" {
		of := r.records[w.Like]
		rec.Rev, rec.FirstRev, rec.Places, rec.At, rec.Like = of.Rev, of.FirstRev, of.Places, of.At, w.Like
	}
	r.put(rec)
	return rec
}

// put notes the new state of a record.
func (r *room) put(rec storage.Record) {
	if rec.Like == "" {
		if rec.Rev > int64(len(r.log)) {
			r.log = append(r.log, rec.Key)
		}
		for _, p := range r.records[rec.Key].Places {
			r.lists[p.List][p.Seq-1] = ""
		}
		for _, p := range rec.Places {
			for int64(len(r.lists[p.List])) < p.Seq {
				r.lists[p.List] = append(r.lists[p.List], "")
			}
			r.lists[p.List][p.Seq-1] = rec.Key
		}
	}
	r.records[rec.Key] = rec
}

func (r *room) head() storage.Position {
	return storage.Position{Epoch: r.epoch, Rev: int64(len(r.log)), Seq: int64(len(r.lists[storage.Main]))}
}

// Changes implements [storage.Store].
func (s *Store) Changes(ctx context.Context, name string, after int64, limit int, keys ...string) (p storage.Page, err error) {
	err = s.read(ctx, name, func(r *room) {
		p = storage.Page{Head: r.head(), Keyed: r.keyed(keys)}
		p.Through = p.Head.Rev
		after = min(max(after, 0), p.Head.Rev)
		for rev := after + 1; rev <= p.Head.Rev; rev++ {
			rec := r.records[r.log[rev-1]]
			if rec.Rev != rev { // it has changed again since
				continue
			}
			if len(p.Records) >= limit {
				p.Through, p.More = after, true
				if limit > 0 {
					p.Through = p.Records[limit-1].Rev
				}
				return
			}
			p.Records = append(p.Records, rec)
		}
	})
	return p, err
}

// Read implements [storage.Store].
func (s *Store) Read(ctx context.Context, name string, q storage.Query) (p storage.Page, err error) {
	err = s.read(ctx, name, func(r *room) {
		list := r.lists[q.List]
		p = storage.Page{Head: r.head(), Keyed: r.keyed(q.Keys), Last: int64(len(list))}
		var keys []string // of what has not left
		older, at := 0, max(q.Before, q.Around)
		if q.After > 0 {
			at = q.After + 1
		}
		for i, key := range list {
			if key == "" {
				continue
			}
			if keys = append(keys, key); int64(i) < at-1 {
				older++
			}
		}
		from, to := len(keys)-q.Limit, len(keys)
		switch {
		case q.Before > 0:
			from, to = older-q.Limit, older
		case q.After > 0:
			from, to = older, older+q.Limit
		case q.Around > 0:
			from = min(max(older-q.Limit/2, 0), max(from, 0))
			to = from + q.Limit
		}
		if p.More = from > 0; q.After > 0 || q.Around > 0 {
			p.More = to < len(keys)
		}
		if to = min(to, len(keys)); q.Limit > 0 {
			p.Records = r.keyed(keys[max(from, 0):to])
		}
		p.More = p.More && q.Limit > 0
	})
	return p, err
}

// keyed returns those records that are there.
func (r *room) keyed(keys []string) (list []storage.Record) {
	for _, key := range keys {
		if rec := r.records[key]; rec.Body != nil {
			list = append(list, rec)
		}
	}
	return list
}

// Head implements [storage.Store].
func (s *Store) Head(ctx context.Context, name string) (head storage.Position, err error) {
	err = s.read(ctx, name, func(r *room) { head = r.head() })
	return head, err
}

func (s *Store) read(ctx context.Context, name string, f func(*room)) error {
	return s.with(ctx, name, func(at *slot) error {
		if at.room.epoch == "" {
			return storage.ErrNotFound
		}
		f(at.room)
		return nil
	})
}

// load reads a room. One without a file does not exist.
func load(path, name string) (*room, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		// A directory that is gone says nothing of its rooms.
		if dir, _ := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) || dir == nil || !dir.IsDir() {
			return nil, err
		}
	}
	r := &room{records: make(map[string]storage.Record), lists: make(map[string][]string)}
	for rest := data; len(rest) > 0; {
		text, after, whole := bytes.Cut(rest, []byte("\n"))
		var l line
		if err := json.Unmarshal(text, &l); err != nil || !whole {
			if len(after) > 0 {
				return nil, fmt.Errorf("%s is damaged at byte %d: %w", path, len(data)-len(rest), err)
			}
			// A crash has cut the last line off. It was never acknowledged.
			return r, os.Truncate(path, int64(len(data)-len(rest)))
		}
		if r.epoch == "" && l.Room != name {
			return nil, fmt.Errorf("%s belongs to %q", path, l.Room)
		}
		r.epoch = cmp.Or(l.Epoch, r.epoch)
		for _, k := range l.Records {
			if k.Record.Body = []byte(k.Body); k.Removed {
				k.Record.Body = nil
			}
			r.put(k.Record)
		}
		rest = after
	}
	return r, nil
}

// add adds a line to a room's file and sees that it is on the disk. The
// difference between the two errors matters: after ErrUnknown a server asks the
// store what is there, instead of telling a client that nothing is.
func add(path string, l *line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return failed(storage.ErrUnavailable, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return failed(storage.ErrUnavailable, err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if dir, e := os.Open(filepath.Dir(path)); l.Room != "" && runtime.GOOS != "windows" { // a new file's name is to be as durable
		err = errors.Join(err, e, dir.Sync(), dir.Close())
	} else {
		_ = dir.Close()
	}
	if err != nil {
		return failed(storage.ErrUnknown, err)
	}
	return nil
}
