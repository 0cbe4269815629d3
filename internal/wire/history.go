package wire

func (c *Command) checkHistory() *Error {
	if err := c.checkRoom(); err != nil {
		return err
	}
	given := 0
	for _, seq := range [...]int64{c.Before, c.After, c.Around} {
		if seq >= 0 {
			given++
		}
	}
	if given > 1 {
		return invalid("before", "before, after and around exclude each other")
	}
	return checkID("thread", c.Thread)
}

// History is a page of messages, by seq upwards.
type History struct {
	Ref, Room string
	Messages  []Message
	More      bool // there are further messages in the direction that was asked for
	Epoch     string
	Head      int64
}

// AppendHistory appends the answer to a history command.
func AppendHistory(dst []byte, h *History) []byte { return appendHistory(open(dst, TypeHistory), h) }

// AppendHistoryObject appends the page as the body of a REST answer.
func AppendHistoryObject(dst []byte, h *History) []byte { return appendHistory(open(dst, ""), h) }

// AppendFrame appends the answer to a history command.
func (h *History) AppendFrame(dst []byte) []byte { return AppendHistory(dst, h) }

// AppendObject appends the page as the body of a REST answer.
func (h *History) AppendObject(dst []byte) []byte { return AppendHistoryObject(dst, h) }

func appendHistory(b []byte, h *History) []byte {
	b = optString(b, "ref", h.Ref)
	b = optString(b, "room", h.Room)
	b = appendList(b, "messages", h.Messages, AppendMessageObject)
	b = appendBool(b, "more", h.More)
	b = optString(b, "epoch", h.Epoch)
	return append(appendInt(b, "head", h.Head), '}')
}
