package redis

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gabblehq/chat"
)

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// text reads one element of a script's reply; nil is "".
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// number reads one element of a script's reply; what is none is 0.
func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := parseInt(v)
		return n
	}
	return 0
}

// corruptLog has each corrupted record logged once.
type corruptLog struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// maxCorrupt bounds what is remembered; beyond it nothing more is logged.
const maxCorrupt = 1000

// noteCorrupt logs what of which room cannot be read.
func (s *Store) noteCorrupt(room, what string) {
	c := &s.corrupt
	c.mu.Lock()
	defer c.mu.Unlock()
	key := room + "\x00" + what
	if _, ok := c.seen[key]; ok || len(c.seen) >= maxCorrupt {
		return
	}
	if c.seen == nil {
		c.seen = make(map[string]struct{})
	}
	c.seen[key] = struct{}{}
	s.log.Error("redis: a stored record is corrupted", "room", room, "record", what)
}

// message decodes the record of a seq. In the place of one that cannot be
// read stands a deleted message.
func (s *Store) message(key, roomID string, seq int64, rec string) chat.Message {
	m, err := decodeStored(rec)
	if err != nil {
		s.noteCorrupt(key, fmt.Sprint("message ", seq))
		m = chat.Message{ID: m.ID, FirstRev: m.FirstRev, Rev: m.Rev, Kind: chat.KindRegular}
		if m.ID == "" {
			m.ID = fmt.Sprint("corrupted-", seq)
		}
		// It has no time of its own any more; the zero time would mean never.
		m.CreatedAt = unreadable
		m.DeletedAt = unreadable
	}
	m.Room, m.Seq = roomID, seq
	return m
}

// settings decodes the settings of a room. Of those that cannot be read only
// the id is left.
func (s *Store) settings(key, roomID, rec string) *chat.RoomInfo {
	info, err := decodeStoredRoom(rec)
	if err != nil {
		s.noteCorrupt(key, "settings")
		info = chat.RoomInfo{ID: roomID, Kind: chat.RoomPublic, Rev: info.Rev, CreatedAt: unreadable}
	}
	return &info
}

// unreadable stands for the times of a corrupted record.
var unreadable = time.Unix(0, 0).UTC()
