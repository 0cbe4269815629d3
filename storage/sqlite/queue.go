package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabblehq/chat"
)

// op is what a request wants of the writer.
type op uint8

const (
	opAppend op = iota
	opRemove
	opEpoch
	opTrim
	opCheck
)

// request waits for the writer. Its fields are the caller's before it is in
// the queue and after done is closed, the writer's in between.
type request struct {
	op      op
	room    string
	known   chat.Position
	changes []change

	results []chat.Result
	head    chat.Position // of opEpoch
	err     error

	state atomic.Uint32
	done  chan struct{}
}

// States of a request.
const (
	queued uint32 = iota
	taken         // the writer has it
	left          // its caller has gone before the writer took it
)

// change is a chat.Change made ready in the caller's goroutine, of which there
// are many, for the writer's, of which there is one. It shares no memory with
// what the caller has passed in, which may be used again before it is written.
type change struct {
	chat.Change
	nonceKey []byte
	// row is what an INSERT needs beyond positions, see insertColumns.
	row [insertWidth - 4]driver.Value
}

func prepare(changes []chat.Change) []change {
	out := make([]change, len(changes))
	for i := range changes {
		c := &out[i]
		c.Change = changes[i]
		c.At = stamp(c.At)
		m := &c.Message
		m.Mentions, m.Attachments, m.Meta = slices.Clone(m.Mentions), cloneAttachments(m.Attachments), bytes.Clone(m.Meta)
		if c.Seen != nil {
			seen := *c.Seen
			seen.Mentions, seen.Attachments, seen.Meta = slices.Clone(seen.Mentions), cloneAttachments(seen.Attachments), bytes.Clone(seen.Meta)
			c.Seen = &seen
		}
		switch c.Kind {
		case chat.ChangeCreateRoom:
			c.Room = copyRoom(&c.Room)
		case chat.ChangeUpdateRoom:
			c.Update.Meta = bytes.Clone(c.Update.Meta)
		case chat.ChangeCreate:
			c.encode()
		}
	}
	return out
}

// cloneAttachments keeps nil and empty apart, which in an edit differ.
func cloneAttachments(as []chat.Attachment) []chat.Attachment {
	if as == nil {
		return nil
	}
	return append([]chat.Attachment{}, copyAttachments(as)...)
}

// encode makes the row of a new message, and m what will be read from it.
func (c *change) encode() {
	m := &c.Message
	m.CreatedAt, m.EditedAt, m.DeletedAt = c.At, time.Time{}, time.Time{}
	var key driver.Value
	if m.Nonce != "" {
		c.nonceKey = nonceKey(m.User, m.Nonce)
		key = c.nonceKey
	}
	c.row = [...]driver.Value{
		m.ID, m.User, string(m.Kind), m.Content, text(m.Nonce), key, millis(c.At), text(m.ReplyTo), text(m.Thread),
		encodeStrings(m.Mentions), encodeAttachments(m.Attachments), rawJSON(m.Meta),
	}
}

// queue holds requests until the writer takes them. Nobody waits to get in:
// there are as many requests as callers.
type queue struct {
	mu     sync.Mutex
	items  []*request
	closed bool
	wake   chan struct{} // has one token while the writer may have to look
}

// put reports false once the queue is closed.
func (q *queue) put(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, r)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close lets nothing more in. What is there already is still taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// Bounds of a transaction: so many changes, or one request if it has more.
const maxBatch = 512

// take moves requests into batch, in order, until it is full. It reports
// whether the queue is closed and empty.
func (q *queue) take(batch []*request) (_ []*request, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.items) {
		r := q.items[n]
		if size += 1 + len(r.changes); size > maxBatch && len(batch) > 0 {
			break
		}
		n++
		if r.state.CompareAndSwap(queued, taken) {
			batch = append(batch, r)
		}
	}
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	return batch, q.closed && len(batch) == 0
}

// do hands a request to the writer and waits for it or for the end of ctx.
func (s *Store) do(ctx context.Context, r *request) error {
	if err := alive(ctx); err != nil {
		return err
	}
	r.done = make(chan struct{})
	if !s.queue.put(r) {
		return errClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(queued, left) {
		return alive(ctx)
	}
	select {
	case <-r.done: // just now
		return r.err
	default:
		return unknown(context.Cause(ctx))
	}
}

// alive answers a call whose context has ended.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
}
