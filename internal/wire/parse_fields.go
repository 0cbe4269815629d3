package wire

func (p *parser) field(c *Command, name []byte) {
	switch string(name) {
	case "type":
		c.Type = p.typ()
	case "ref":
		c.Ref = p.string("ref")
	case "token":
		c.Token = p.string("token")
	case "room":
		c.Room = p.string("room")
	case "user":
		c.User = p.string("user")
	case "rooms":
		c.Rooms = list(p, "rooms", MaxRooms, (*parser).join)
	case "epoch":
		c.Epoch = p.string("epoch")
	case "history":
		c.History = p.count("history", -1)
	case "after":
		c.After = p.position("after", -1)
	case "before":
		c.Before = p.position("before", -1)
	case "around":
		c.Around = p.position("around", -1)
	case "limit":
		c.Limit = p.limit()
	case "cursor":
		c.Cursor = p.string("cursor")
	case "id":
		c.ID = p.string("id")
	case "content":
		c.Content, c.HasContent = p.optString("content")
	case "nonce":
		c.Nonce = p.nonce()
	case "reply_to":
		c.ReplyTo = p.string("reply_to")
	case "thread":
		c.Thread = p.string("thread")
	case "mentions":
		c.Mentions = list(p, "mentions", MaxMentions, (*parser).mention)
	case "attachments":
		c.Attachments = list(p, "attachments", MaxAttachments, (*parser).attachment)
	case "meta":
		c.Meta = p.meta("meta")
	case "hard":
		c.Hard = p.bool("hard", false)
	case "active":
		c.Active = p.bool("active", true)
	default:
		p.value() // what is unknown is ignored, but has to be well-formed
	}
}

// typ spares the copy of a type that there is.
func (p *parser) typ() string {
	raw := p.value()
	for i := range types {
		known := types[i].name
		if len(raw) == len(known)+2 && string(raw[1:len(raw)-1]) == known {
			return known
		}
	}
	s, _ := p.toString("type", raw)
	return s
}

func (p *parser) limit() int {
	n := p.count("limit", -1)
	if n == 0 {
		p.fail("limit", "must be at least 1")
	}
	return max(n, 0)
}
