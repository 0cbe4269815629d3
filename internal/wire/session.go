package wire

import "time"

// Limits is what a client should know before it runs into it.
type Limits struct {
	Content      int   `json:"content"`       // characters of a message's content
	MessageBytes int   `json:"message_bytes"` // bytes of a client's frame
	MetaBytes    int   `json:"meta_bytes"`    // bytes of a meta object
	Rooms        int   `json:"rooms"`         // rooms joined by one session
	History      int   `json:"history"`       // messages of a page
	Resume       int64 `json:"resume"`        // changes that a resume may lag behind
	NonceTTLMS   int64 `json:"nonce_ttl_ms"`  // how long a nonce is remembered; 0 for good
	TypingMS     int64 `json:"typing_ms"`     // at most one typing frame in this time
	TypingTTLMS  int64 `json:"typing_ttl_ms"` // after which others forget it
}

// Welcome tells a session what it is. It answers every auth.
type Welcome struct {
	Ref         string
	Session     string
	User        User
	ExpiresInMS int64 // 0: never
	HeartbeatMS int64
	Limits      Limits
	ServerTime  time.Time
}

// AppendWelcome appends a welcome frame.
func AppendWelcome(dst []byte, w *Welcome) []byte {
	b := optString(open(dst, "welcome"), "ref", w.Ref)
	b = optString(b, "session", w.Session)
	b = optUser(b, "user", &w.User)
	b = optInt(b, "expires_in_ms", w.ExpiresInMS)
	b = appendInt(b, "heartbeat_ms", w.HeartbeatMS)
	b = append(limitFields(open(appendKey(b, "limits"), ""), &w.Limits), '}')
	return append(optTime(b, "server_time", w.ServerTime), '}')
}

func limitFields(b []byte, l *Limits) []byte {
	b = appendInt(b, "content", int64(l.Content))
	b = appendInt(b, "message_bytes", int64(l.MessageBytes))
	b = appendInt(b, "meta_bytes", int64(l.MetaBytes))
	b = appendInt(b, "rooms", int64(l.Rooms))
	b = appendInt(b, "history", int64(l.History))
	b = appendInt(b, "resume", l.Resume)
	b = appendInt(b, "nonce_ttl_ms", l.NonceTTLMS)
	b = appendInt(b, "typing_ms", l.TypingMS)
	return appendInt(b, "typing_ttl_ms", l.TypingTTLMS)
}

// AppendReconnect appends a reconnect frame: leave within the time and come
// back.
func AppendReconnect(dst []byte, afterMS int64, reason string) []byte {
	b := appendInt(open(dst, "reconnect"), "after_ms", afterMS)
	return append(optString(b, "reason", reason), '}')
}

func (c *Command) checkAuth() *Error {
	if c.Token == "" || !token(c.Token, MaxToken) {
		return invalid("token", "must be printable ASCII of at most %d bytes", MaxToken)
	}
	return nil
}

// AppendPong appends the answer to a ping.
func AppendPong(dst []byte, ref string, serverTime time.Time) []byte {
	b := optString(open(dst, "pong"), "ref", ref)
	return append(optTime(b, "server_time", serverTime), '}')
}
