package chat

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/gabblehq/chat/internal/safelog"
	"github.com/gabblehq/chat/storage"
)

// FromRecords returns the Store that keeps rooms and messages in a store of
// records, a backend of one's own as a rule: see the package storage. It is no
// more than a Store: it lists no rooms, and no other server can share it. What it
// finds damaged it says to slog.Default().
func FromRecords(s storage.Store) Store { return &book{s, safelog.New(nil)} }

// book is rooms and messages upon a store of records.
type book struct {
	store storage.Store
	log   *slog.Logger
}

func (b *book) damaged(rec *storage.Record, err error) {
	b.log.Error("chat: a record is damaged", "key", rec.Key, "rev", rec.Rev, "error", err)
}

// bookError is an error of a store as one of ours.
func bookError(err error) error {
	if err == nil {
		return nil
	}
	e, _ := errors.AsType[*storage.Error](err)
	message := func(otherwise string) string {
		if e != nil && e.Message != "" {
			return e.Message
		}
		return otherwise
	}
	switch {
	case errors.Is(err, storage.ErrLost):
		return errNoSuchRoom.WithCause(ErrLost)
	case errors.Is(err, storage.ErrNotFound):
		return errNoSuchRoom
	case errors.Is(err, storage.ErrUnknown):
		return &unknownError{err}
	case errors.Is(err, storage.ErrUnavailable):
		return (&Error{Code: CodeUnavailable, Message: message("the store does not answer")}).WithCause(err)
	case errors.Is(err, storage.ErrTooLarge):
		return (&Error{Code: CodeTooLarge, Message: message("more than the store takes at once")}).WithCause(err)
	}
	return err
}

type unknownError struct{ cause error }

func (e *unknownError) Error() string        { return e.cause.Error() }
func (e *unknownError) Is(target error) bool { return target == ErrUnknown }

// Append commits changes together, each answered by itself.
func (b *book) Append(ctx context.Context, room string, known Position, changes []Change) ([]Result, error) {
	d := decision{changes: changes, damaged: b.damaged}
	out, err := b.store.Commit(ctx, room, storage.Position(known), d.tx())
	if errors.Is(err, storage.ErrNotFound) {
		d.results = make([]Result, len(changes))
		for i := range d.results {
			d.results[i].Err = bookError(err)
		}
		return d.results, nil
	}
	if err != nil {
		return nil, bookError(err)
	}
	d.settle(out)
	if len(d.again) > 0 {
		b.recall(ctx, room, &d)
	}
	return d.results, nil
}

// recall reads the messages that nonces have led to. Where they are gone, or
// cannot be read now, what the nonces' records tell of them has to do.
func (b *book) recall(ctx context.Context, room string, d *decision) {
	keys := make([]string, len(d.again))
	for i, n := range d.again {
		keys[i] = messageKey(d.results[n].Message.ID)
	}
	page, err := b.store.Read(ctx, room, storage.Query{Keys: keys})
	if err != nil {
		return
	}
	for _, n := range d.again {
		for i := range page.Keyed {
			if rec := &page.Keyed[i]; rec.Key == messageKey(d.results[n].Message.ID) {
				d.results[n].Message, _ = readMessage(rec, b.damaged)
				d.results[n].Message.Room = d.room
			}
		}
	}
}

var settingsKeys = []string{settingsKey}

// Changes implements [Store].
func (b *book) Changes(ctx context.Context, room string, after int64, limit int) (Page, error) {
	p, err := b.store.Changes(ctx, room, after, limit, settingsKey)
	if err != nil {
		return Page{}, bookError(err)
	}
	page := b.page(&p)
	page.Through = p.Through
	page.Entries = b.entries(p.Records, page.Room.ID)
	return page, nil
}

// entries are those of the records of which somebody is told who follows.
func (b *book) entries(recs []storage.Record, room string) []Entry {
	if len(recs) == 0 {
		return nil
	}
	entries := make([]Entry, 0, len(recs))
	msgs := make([]Message, 0, len(recs)) // all in one allocation
	for i := range recs {
		e := Entry{Rev: recs[i].Rev}
		switch key := recs[i].Key; {
		case key == settingsKey:
			info := readRoom(&recs[i], b.damaged)
			e.Room = &info
		case strings.HasPrefix(key, messages):
			m, _ := readMessage(&recs[i], b.damaged)
			m.Room = room
			msgs = append(msgs, m)
			e.Message = &msgs[len(msgs)-1]
		default:
			continue // of a later version
		}
		entries = append(entries, e)
	}
	return entries
}

func (b *book) page(p *storage.Page) Page {
	page := Page{Head: Position(p.Head), Floor: p.Floor, More: p.More}
	for _, at := range p.Past {
		page.Past = append(page.Past, Position(at))
	}
	info := RoomInfo{}
	for i := range p.Keyed {
		if p.Keyed[i].Key == settingsKey {
			info = readRoom(&p.Keyed[i], b.damaged)
		}
	}
	page.Room = &info
	return page
}

// History implements [Store].
func (b *book) History(ctx context.Context, room string, q Query) (Page, error) {
	ask := storage.Query{Keys: settingsKeys}
	switch {
	case q.Limit <= 0:
	case q.ID != "":
		ask.Keys = []string{settingsKey, messageKey(q.ID)}
	case q.Nonce != "":
		ask.Keys = []string{settingsKey, nonceKey(q.User, q.Nonce)}
	default:
		ask.Limit, ask.Before, ask.After, ask.Around = q.Limit, q.Before, q.After, q.Around
	}
	p, err := b.store.Read(ctx, room, ask)
	if err != nil {
		return Page{}, bookError(err)
	}
	if q.Nonce != "" && len(p.Keyed) > 1 {
		p, err = b.store.Read(ctx, room, storage.Query{Keys: []string{settingsKey, p.Keyed[1].Like}})
		if err != nil {
			return Page{}, bookError(err)
		}
	}
	page := b.page(&p)
	recs := p.Records
	if len(p.Keyed) > 1 {
		recs = p.Keyed[1:]
	}
	for i := range recs {
		m, _ := readMessage(&recs[i], b.damaged)
		if page.Messages == nil {
			page.Messages = make([]Message, 0, len(recs))
		}
		m.Room = page.Room.ID
		page.Messages = append(page.Messages, m)
	}
	return page, nil
}

// Head implements [Store].
func (b *book) Head(ctx context.Context, room string) (Position, error) {
	at, err := b.store.Head(ctx, room)
	return Position(at), bookError(err)
}
