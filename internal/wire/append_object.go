package wire

// AppendMessage appends the frame of the given type (message, edit or delete)
// that carries the whole message.
func AppendMessage(dst []byte, typ string, m *Message) []byte {
	return append(messageFields(open(dst, typ), m), '}')
}

// AppendMessageObject appends the message by itself, as pages and REST have it.
func AppendMessageObject(dst []byte, m *Message) []byte {
	return append(messageFields(open(dst, ""), m), '}')
}

func messageFields(b []byte, m *Message) []byte {
	b = optString(b, "id", m.ID)
	b = optString(b, "room", m.Room)
	b = optInt(b, "seq", m.Seq)
	b = optInt(b, "rev", m.Rev)
	b = optInt(b, "first_rev", m.FirstRev)
	b = optUser(b, "user", &m.User)
	b = optString(b, "kind", m.Kind)
	b = optString(b, "content", m.Content)
	b = optString(b, "nonce", m.Nonce)
	b = optTime(b, "created_at", m.CreatedAt)
	b = optTime(b, "edited_at", m.EditedAt)
	b = optTime(b, "deleted_at", m.DeletedAt)
	b = optString(b, "reply_to", m.ReplyTo)
	b = optString(b, "thread", m.Thread)
	b = optStrings(b, "mentions", m.Mentions)
	b = optList(b, "attachments", m.Attachments, appendAttachment)
	return optRaw(b, "meta", m.Meta)
}

func appendAttachment(b []byte, a *Attachment) []byte {
	b = optString(open(b, ""), "url", a.URL)
	b = optString(b, "name", a.Name)
	b = optString(b, "type", a.Type)
	b = optInt(b, "size", a.Size)
	b = optInt(b, "width", int64(a.Width))
	b = optInt(b, "height", int64(a.Height))
	return append(optRaw(b, "meta", a.Meta), '}')
}

func appendUser(b []byte, u *User) []byte {
	b = optString(open(b, ""), "id", u.ID)
	b = optString(b, "name", u.Name)
	return append(optString(b, "avatar", u.Avatar), '}')
}

func optUser(b []byte, name string, u *User) []byte {
	if *u == (User{}) {
		return b
	}
	return appendUser(appendKey(b, name), u)
}

// AppendRoomObject appends the room by itself, as pages and REST have it.
func AppendRoomObject(dst []byte, r *Room) []byte {
	b := optString(open(dst, ""), "id", r.ID)
	b = optString(b, "kind", r.Kind)
	b = optString(b, "title", r.Title)
	b = optString(b, "topic", r.Topic)
	b = optString(b, "avatar", r.Avatar)
	b = optList(b, "peers", r.Peers, appendUser)
	b = optInt(b, "online", int64(r.Online))
	if r.LastMessage != nil {
		b = AppendMessageObject(appendKey(b, "last_message"), r.LastMessage)
	}
	b = optRaw(b, "meta", r.Meta)
	b = optTime(b, "created_at", r.CreatedAt)
	return append(optInt(b, "rev", r.Rev), '}')
}
