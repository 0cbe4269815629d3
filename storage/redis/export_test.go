package redis

import "github.com/gabblehq/chat"

// Keys is how many keys the limiter remembers.
func (l *Limiter) Keys() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.budgets)
}

// Encode makes a record as the script keeps it.
func Encode(m *chat.Message) string { return "1 2 " + string(encodeMessage(m)) }

// EncodeRoom makes a record as the script keeps it.
func EncodeRoom(r *chat.RoomInfo) string { return "3 " + string(encodeRoom(r)) }

// The decoders.
var (
	Decode     = decodeStored
	DecodeRoom = decodeStoredRoom
	ParseHint  = func(payload string) (chat.Hint, bool) {
		h, ok := parseMoved(payload)
		return h.hint(), ok
	}
)

// Dial makes the client of a URL.
var Dial = dial
