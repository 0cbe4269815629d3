package wire_test

import "github.com/gabblehq/chat/internal/wire"

// The frames of the golden files.

const (
	epoch = "01KAPT3H5V0000000000000000"
	idA   = "01KAPT3H5VQ3K8M2N4P6R8T0W1"
	idB   = "01KAPT3H5VQ3K8M2N4P6R8T0W2"
	idC   = "01KAPT3H5VQ3K8M2N4P6R8T0W3"

	// Everything that writers of JSON disagree about how to write.
	escapes = "\"quotes\" \\ / \b\f\n\r\t\x01\x1f\x7f <b>&</b> é ß 漢字 👀 e\u0301 \u2028\u2029 \ufeff"

	dm = "~mfzwkzlfojxw6ylomjxxmzlsoq"
)

func command(typ string, with func(c *wire.Command)) wire.Command {
	c := wire.NewCommand(typ)
	with(&c)
	return c
}

var clientFrames = map[string]wire.Command{
	"auth": command("auth", func(c *wire.Command) { c.Ref, c.Token = "1", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln" }),

	"join":         command("join", func(c *wire.Command) { c.Ref, c.Room = "2", "general" }),
	"join-history": command("join", func(c *wire.Command) { c.Ref, c.Room, c.History = "3", "general", 0 }),
	"join-resume":  command("join", func(c *wire.Command) { c.Ref, c.Room, c.Epoch, c.After = "4", "general", epoch, 57 }),
	"join-direct":  command("join", func(c *wire.Command) { c.Ref, c.User = "5", "bob" }),
	"join-rooms": command("join", func(c *wire.Command) {
		c.Ref = "6"
		c.Rooms = []wire.Join{
			{Room: "general", Epoch: epoch, History: -1, After: 57},
			{Room: "random", History: 20, After: -1},
			{User: "bob", History: -1, After: -1},
		}
	}),
	"leave": command("leave", func(c *wire.Command) { c.Ref, c.Room = "7", "general" }),

	"message": command("message", func(c *wire.Command) {
		c.Ref, c.Room, c.Content, c.HasContent, c.Nonce = "8", "general", "Hello, world!", true, "n-7f3a"
	}),
	"message-full": command("message", func(c *wire.Command) {
		c.Ref, c.Room, c.Content, c.HasContent, c.Nonce = "9", "general", "Look at this, @bob", true, "n-7f3b"
		c.ReplyTo, c.Thread, c.Mentions = idA, idA, []string{"bob"}
		c.Attachments = []wire.Attachment{{
			URL: "https://files.example.com/cat.png", Name: "cat.png", Type: "image/png",
			Size: 48213, Width: 640, Height: 480, Meta: []byte(`{"blurhash":"LEHV6nWB2yk8"}`),
		}}
		c.Meta = []byte(`{"client":{"name":"cli","version":3}}`)
	}),
	"message-escapes": command("message", func(c *wire.Command) {
		c.Room, c.Content, c.HasContent = "general", escapes, true
	}),
	"edit": command("edit", func(c *wire.Command) {
		c.Ref, c.Room, c.ID, c.Content, c.HasContent = "10", "general", idA, "Hello, everybody!", true
	}),
	"delete":      command("delete", func(c *wire.Command) { c.Ref, c.Room, c.ID = "11", "general", idA }),
	"delete-hard": command("delete", func(c *wire.Command) { c.Ref, c.Room, c.ID, c.Hard = "12", "general", idA, true }),

	"typing":      command("typing", func(c *wire.Command) { c.Room = "general" }),
	"typing-stop": command("typing", func(c *wire.Command) { c.Room, c.Active = "general", false }),

	"history":        command("history", func(c *wire.Command) { c.Ref, c.Room = "13", "general" }),
	"history-before": command("history", func(c *wire.Command) { c.Ref, c.Room, c.Before, c.Limit = "14", "general", 41, 2 }),
	"history-after":  command("history", func(c *wire.Command) { c.Ref, c.Room, c.After, c.Limit = "15", "general", 0, 50 }),
	"history-around": command("history", func(c *wire.Command) { c.Ref, c.Room, c.Around, c.Limit = "16", "general", 20, 50 }),
	"history-thread": command("history", func(c *wire.Command) { c.Ref, c.Room, c.Thread = "17", "general", idA }),

	"presence": command("presence", func(c *wire.Command) { c.Ref, c.Room = "18", "general" }),
	"members":  command("members", func(c *wire.Command) { c.Ref, c.Room, c.Limit = "19", "general", 2 }),
	"rooms":    command("rooms", func(c *wire.Command) { c.Ref, c.Cursor, c.Limit = "20", "Z2VuZXJhbA", 50 }),
	"ping":     command("ping", func(c *wire.Command) { c.Ref = "21" }),
}

var (
	alice = wire.User{ID: "alice", Name: "Alice", Avatar: "https://example.com/alice.png"}
	bob   = wire.User{ID: "bob", Name: "Bob"}

	hello = wire.Message{
		ID: idA, Room: "general", Seq: 40, Rev: 57, FirstRev: 57, User: alice, Kind: "regular",
		Content: "Hello, world!", Nonce: "n-7f3a", CreatedAt: at(0, 123),
	}
	look = wire.Message{
		ID: idB, Room: "general", Seq: 41, Rev: 58, FirstRev: 58, User: bob, Kind: "regular",
		Content: "Look at this, @alice", Nonce: "n-7f3b", CreatedAt: at(2, 21),
		ReplyTo: idA, Thread: idA, Mentions: []string{"alice"},
		Attachments: clientFrames["message-full"].Attachments,
		Meta:        clientFrames["message-full"].Meta,
	}
	system = wire.Message{
		ID: idC, Room: "general", Seq: 42, Rev: 59, FirstRev: 59, Kind: "system",
		Content: "The room has a new title", CreatedAt: at(3, 7),
	}
	general = wire.Room{ID: "general", Kind: "public", Title: "General", Topic: "Anything goes", Rev: 3}
	direct  = wire.Room{ID: dm, Kind: "direct", Peers: []wire.User{alice, bob}, Rev: 1}
)

func changed(with func(m *wire.Message)) *wire.Message {
	m := hello
	with(&m)
	return &m
}

var (
	edited = changed(func(m *wire.Message) { m.Rev, m.Content, m.EditedAt = 60, "Hello, everybody!", at(5, 51) })
	gone   = changed(func(m *wire.Message) { m.Rev, m.Content, m.DeletedAt = 61, "", at(6, 61) })
	erased = changed(func(m *wire.Message) {
		m.Rev, m.Content, m.Nonce, m.User, m.DeletedAt = 62, "", "", wire.User{}, at(7, 71)
	})
	welcome = wire.Welcome{
		Session: "01KAPT3GZZ8A9B0C1D2E3F4G5H", User: alice, HeartbeatMS: 25000, ServerTime: at(0, 1),
		Limits: wire.Limits{
			Content: 4000, MessageBytes: 65536, MetaBytes: 4096, Rooms: 200, History: 200, Resume: 1000,
			NonceTTLMS: 86400000, TypingMS: 2000, TypingTTLMS: 6000,
		},
	}
	renewed = wire.Welcome{
		Ref: "1", Session: welcome.Session, User: alice, ExpiresInMS: 3600000, HeartbeatMS: 25000,
		Limits: welcome.Limits, ServerTime: at(0, 1),
	}
)

var serverFrames = map[string][]byte{
	"welcome":      wire.AppendWelcome(nil, &welcome),
	"welcome-auth": wire.AppendWelcome(nil, &renewed),

	"joined": wire.AppendJoined(nil, &wire.Joined{
		Ref: "2", Room: "general", Epoch: epoch, Head: 57, Messages: []wire.Message{hello}, More: true,
		State: &general, Online: 2, Users: []wire.User{alice, bob},
	}),
	"joined-resume": wire.AppendJoined(nil, &wire.Joined{
		Ref: "4", Room: "general", Epoch: epoch, Head: 59, State: &general, Online: 2, Users: []wire.User{alice, bob},
	}),
	"joined-reset": wire.AppendJoined(nil, &wire.Joined{
		Ref: "4", Room: "general", Epoch: epoch, Head: 57, Messages: []wire.Message{hello}, More: true, Reset: true,
		State: &general, Online: 1, Users: []wire.User{alice},
	}),
	"joined-direct": wire.AppendJoined(nil, &wire.Joined{
		Ref: "5", Room: dm, Epoch: epoch, Head: 1, State: &direct, Online: 1, Users: []wire.User{alice},
	}),
	"reset":  wire.AppendReset(nil, &wire.Reset{Room: "general", Epoch: epoch, Head: 57, Messages: []wire.Message{hello}, More: true}),
	"synced": wire.AppendSynced(nil, "general", epoch, 59),
	"left":   wire.AppendLeft(nil, "general", wire.CodeForbidden),
	"room":   wire.AppendRoom(nil, &general),

	"message":         wire.AppendMessage(nil, "message", &hello),
	"message-full":    wire.AppendMessage(nil, "message", &look),
	"message-escapes": wire.AppendMessage(nil, "message", changed(func(m *wire.Message) { m.Content = escapes })),
	"message-system":  wire.AppendMessage(nil, "message", &system),
	"edit":            wire.AppendMessage(nil, "edit", edited),
	"delete":          wire.AppendMessage(nil, "delete", gone),
	"delete-hard":     wire.AppendMessage(nil, "delete", erased),

	"ack":           wire.AppendAck(nil, &wire.Ack{Ref: "8", Room: "general", ID: idA, Seq: 40, Rev: 57, CreatedAt: at(0, 123)}),
	"ack-duplicate": wire.AppendAck(nil, &wire.Ack{Ref: "8", Room: "general", ID: idA, Seq: 40, Rev: 57, CreatedAt: at(0, 123), Duplicate: true}),
	"ack-held":      wire.AppendAck(nil, &wire.Ack{Ref: "8", Room: "general", Held: true}),
	"ack-leave":     wire.AppendAck(nil, &wire.Ack{Ref: "7", Room: "general"}),

	"history":       wire.AppendHistory(nil, &wire.History{Ref: "14", Room: "general", Messages: []wire.Message{hello, look}, More: true, Epoch: epoch, Head: 58}),
	"history-empty": wire.AppendHistory(nil, &wire.History{Ref: "13", Room: "general", Epoch: epoch}),

	"presence":       wire.AppendPresence(nil, &wire.Presence{Room: "general", Online: 2, Join: []wire.User{bob}}),
	"presence-leave": wire.AppendPresence(nil, &wire.Presence{Room: "general", Leave: []wire.User{alice, bob}}),
	"presence-reply": wire.AppendOnline(nil, &wire.Online{Type: "presence", Ref: "18", Room: "general", Online: 2, Users: []wire.User{alice, bob}}),
	"members":        wire.AppendOnline(nil, &wire.Online{Type: "members", Ref: "19", Room: "general", Online: 17, Users: []wire.User{alice, bob}, More: true, Cursor: "Ym9i"}),
	"rooms": wire.AppendRooms(nil, &wire.Rooms{Ref: "20", Rooms: []wire.Room{
		{ID: "general", Kind: "public", Title: "General", Topic: "Anything goes", Online: 2, LastMessage: &hello, Meta: []byte(`{"color":"teal"}`), CreatedAt: at(0, 1), Rev: 3},
		direct,
	}, More: true, Cursor: "cmFuZG9t"}),

	"typing":      wire.AppendTyping(nil, &wire.Typing{Room: "general", User: bob, Active: true}),
	"typing-stop": wire.AppendTyping(nil, &wire.Typing{Room: "general", User: bob}),

	"error":              wire.AppendError(nil, &wire.Error{Ref: "10", Code: "invalid", Field: "content", Message: "is required"}),
	"error-rate-limited": wire.AppendError(nil, &wire.Error{Ref: "8", Room: "general", Code: "rate_limited", Message: "too many messages", RetryAfterMS: 1500}),
	"error-join":         wire.AppendError(nil, &wire.Error{Ref: "6", Room: "random", Code: "not_found", Message: "no such room"}),

	"reconnect": wire.AppendReconnect(nil, 12000, "restart"),
	"pong":      wire.AppendPong(nil, "21", at(9, 91)),
}

var restBodies = map[string][]byte{
	"message": wire.AppendMessageObject(nil, &hello),
	"history": wire.AppendHistoryObject(nil, &wire.History{Messages: []wire.Message{hello}, Epoch: epoch, Head: 57}),
	"room":    wire.AppendRoomObject(nil, &general),
	"rooms":   wire.AppendRoomsObject(nil, &wire.Rooms{Rooms: []wire.Room{general}}),
	"online":  wire.AppendOnlineObject(nil, &wire.Online{Online: 2, Users: []wire.User{alice, bob}}),
	"error":   wire.AppendErrorObject(nil, &wire.Error{Code: "not_found", Message: "no such room"}),
}
