package memory

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/gabblehq/chat"
)

// What goes in and what comes out is copied, so that nobody can write to what
// is stored. Empty slices become nil: one state for "none".

func copyMessage(to, m *chat.Message) {
	*to = *m
	to.Mentions = cloneStrings(m.Mentions)
	to.Attachments = cloneAttachments(m.Attachments)
	to.Meta = cloneBytes(m.Meta)
}

func cloneRoom(r *chat.RoomInfo) chat.RoomInfo {
	c := *r
	c.Peers = cloneStrings(r.Peers)
	c.Meta = cloneBytes(r.Meta)
	return c
}

func cloneStrings(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

func cloneBytes(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

func cloneAttachments(as []chat.Attachment) []chat.Attachment {
	if len(as) == 0 {
		return nil
	}
	c := slices.Clone(as)
	for i := range c {
		c[i].Meta = cloneBytes(c[i].Meta)
	}
	return c
}

// stamp is how a time is kept: UTC, whole milliseconds, no monotonic part.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
