package wire

import "fmt"

// What one frame may hold at most, whatever the server's options say.
const (
	MaxRef         = 64        // bytes
	MaxNonce       = 64        // bytes
	MaxID          = 64        // bytes of a message's id, or an epoch
	MaxUserID      = 128       // bytes
	MaxRoomID      = 128       // bytes
	MaxToken       = 8192      // bytes
	MaxCursor      = 512       // bytes
	MaxURL         = 2048      // bytes
	MaxName        = 255       // bytes of an attachment's name or type
	MaxMeta        = 4096      // bytes of a meta object without white space
	MaxNumber      = 1<<53 - 1 // of a position or a size: what every JSON reader holds exactly
	MaxCount       = 1<<31 - 1 // of what is counted
	MaxMentions    = 50
	MaxAttachments = 10
	MaxRooms       = 200 // in one join
)

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// token reports whether s is printable ASCII without spaces, at most limit
// bytes.
func token(s string, limit int) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= limit
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

func checkID(field, id string) *Error {
	if !token(id, MaxID) {
		return invalid(field, "must be printable ASCII of at most %d bytes", MaxID)
	}
	return nil
}
