package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/gabblehq/chat"
)

// record is one change as it is written down: what has changed, in its new
// state. A line of a file is the array of the records of one Append.
type record struct {
	Key     string         `json:"key,omitempty"`   // in a file's first record: whose it is
	Epoch   string         `json:"epoch,omitempty"` // a new epoch begins
	Room    *storedRoom    `json:"room,omitempty"`
	Message *storedMessage `json:"message,omitempty"`
}

// JSON that the chat promises to keep byte for byte is written as a string:
// encoding/json would tidy it up. A field here hides the one of the same name
// that is embedded.
type storedRoom struct {
	roomFields
	Meta string `json:",omitempty"`
}

type storedMessage struct {
	messageFields
	Meta        string             `json:",omitempty"`
	Attachments []storedAttachment `json:",omitempty"`
}

// The fields alone, without the methods that marshal as on the wire.
type (
	roomFields    chat.RoomInfo
	messageFields chat.Message
)

type storedAttachment struct {
	chat.Attachment
	Meta string `json:"meta,omitempty"`
}

// setRoom makes the record one of new settings.
func (rec *record) setRoom(info chat.RoomInfo, rev int64, res *chat.Result) {
	info.Rev = rev
	rec.Room = &storedRoom{roomFields(info), string(info.Meta)}
	res.Room = *rec.info()
}

// setMessage makes the record one of a message's new state.
func (rec *record) setMessage(m chat.Message, rev int64, res *chat.Result) {
	m.Rev = rev
	rec.Message = &storedMessage{messageFields: messageFields(m), Meta: string(m.Meta)}
	for _, a := range m.Attachments {
		rec.Message.Attachments = append(rec.Message.Attachments, storedAttachment{a, string(a.Meta)})
	}
	res.Message = *rec.message()
}

// info returns the record's settings, which share nothing with it, or nil.
func (rec *record) info() *chat.RoomInfo {
	if rec.Room == nil {
		return nil
	}
	info := chat.RoomInfo(rec.Room.roomFields)
	info.Meta = raw(rec.Room.Meta)
	return copyRoom(&info)
}

// copyRoom and copyMessage return what shares nothing with what they are given:
// nobody is to change what is in the Store but the Store.
func copyRoom(of *chat.RoomInfo) *chat.RoomInfo {
	info := *of
	info.Peers, info.Meta = slices.Clone(of.Peers), slices.Clone(of.Meta)
	return &info
}

func copyMessage(of *chat.Message) *chat.Message {
	m := *of
	m.Mentions, m.Meta, m.Attachments = slices.Clone(of.Mentions), slices.Clone(of.Meta), slices.Clone(of.Attachments)
	for i := range m.Attachments {
		m.Attachments[i].Meta = slices.Clone(m.Attachments[i].Meta)
	}
	return &m
}

// message returns the record's message, which shares nothing with it, or nil.
func (rec *record) message() *chat.Message {
	if rec.Message == nil {
		return nil
	}
	m := chat.Message(rec.Message.messageFields)
	m.Mentions, m.Meta, m.Attachments = append([]string(nil), m.Mentions...), raw(rec.Message.Meta), nil
	for _, s := range rec.Message.Attachments {
		a := s.Attachment
		a.Meta = raw(s.Meta)
		m.Attachments = append(m.Attachments, a)
	}
	return &m
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// load reads a room. One without a file does not exist.
func load(path, key string) (*room, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := newRoom()
	for rest := data; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		var recs []record
		if err := json.Unmarshal(line, &recs); err != nil || !whole {
			if len(after) > 0 {
				return nil, fmt.Errorf("%s is damaged at byte %d: %w", path, len(data)-len(rest), err)
			}
			// A crash has cut the last line off. It was never acknowledged.
			return r, os.Truncate(path, int64(len(data)-len(rest)))
		}
		for i, rec := range recs {
			if first := i == 0 && len(rest) == len(data); first && rec.Key != key {
				return nil, fmt.Errorf("%s belongs to %q", path, rec.Key)
			}
			r.apply(rec)
		}
		rest = after
	}
	return r, nil
}

// write adds a line to a room's file and sees that it is on the disk. The
// difference between the two errors matters: after ErrUnknown a server asks
// the store what is there, instead of telling a client that nothing is.
func write(path string, recs []record, fresh bool) error {
	line, err := json.Marshal(recs)
	if err != nil {
		return unavailable(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return unavailable(err)
	}
	_, err = f.Write(append(line, '\n'))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && fresh {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", chat.ErrUnknown, opaque(err))
	}
	return nil
}

// syncDir makes a new file's name as durable as its content.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // which has no such call, and does it by itself
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
