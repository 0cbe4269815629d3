package wire

// AppendCommand appends a command as a client sends it. What Decode reads of
// it is the same command, if it keeps the rules of [Command.Check].
func AppendCommand(dst []byte, c *Command) []byte {
	b := optString(open(dst, c.Type), "ref", c.Ref)
	b = optString(b, "token", c.Token)
	b = joinFields(b, &Join{Room: c.Room, User: c.User, Epoch: c.Epoch, History: c.History, After: c.After})
	if c.Rooms != nil {
		b = appendList(b, "rooms", c.Rooms, func(b []byte, j *Join) []byte {
			return append(joinFields(open(b, ""), j), '}')
		})
	}
	b = optPosition(b, "before", c.Before)
	b = optPosition(b, "around", c.Around)
	b = optInt(b, "limit", int64(c.Limit))
	b = optString(b, "cursor", c.Cursor)
	b = optString(b, "id", c.ID)
	if c.HasContent || c.Content != "" {
		b = appendString(b, "content", c.Content)
	}
	b = optString(b, "nonce", c.Nonce)
	b = optString(b, "reply_to", c.ReplyTo)
	b = optString(b, "thread", c.Thread)
	b = optStrings(b, "mentions", c.Mentions)
	b = optList(b, "attachments", c.Attachments, appendAttachment)
	b = optRaw(b, "meta", c.Meta)
	b = optTrue(b, "hard", c.Hard)
	if c.Type == TypeTyping || !c.Active {
		b = appendBool(b, "active", c.Active)
	}
	return append(b, '}')
}

func joinFields(b []byte, j *Join) []byte {
	b = optString(b, "room", j.Room)
	b = optString(b, "user", j.User)
	b = optString(b, "epoch", j.Epoch)
	b = optPosition(b, "history", int64(j.History))
	return optPosition(b, "after", j.After)
}

// optPosition leaves out what is absent. Zero is a position like any other.
func optPosition(b []byte, name string, n int64) []byte {
	if n < 0 {
		return b
	}
	return appendInt(b, name, n)
}
