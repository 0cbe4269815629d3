package chat_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// start makes a server with the rooms.
func start(rooms ...string) *chat.Server {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	check(err)
	for _, id := range rooms {
		_, err := srv.Room(id).Create(context.Background(), chat.RoomInfo{})
		check(err)
	}
	return srv
}

// How do I send a message from server code?
func ExampleRoom_Send() {
	srv := start("general")
	defer srv.Close()

	m, err := srv.Room("general").Send(context.Background(), chat.Message{User: "bot", Content: "hello"})
	check(err)
	fmt.Println(m.Seq, m.User, m.Content)
	// Output: 1 bot hello
}

// How do I send again when I do not know whether it worked? With the same
// nonce: nobody sees the message twice.
func ExampleRoom_Send_retry() {
	srv := start("orders")
	defer srv.Close()
	order := chat.Message{User: "shop", Content: "order 17 has shipped", Nonce: "order-17-shipped"}

	first, err := srv.Room("orders").Send(context.Background(), order)
	check(err)
	again, err := srv.Room("orders").Send(context.Background(), order)
	check(err)
	fmt.Println(first.ID == again.ID, again.Seq)
	// Output: true 1
}

// How do I follow a room in server code, without missing anything over a
// restart? Keep the Rev of what has been handled, and the epoch.
func ExampleRoom_Changes() {
	srv := start("general")
	defer srv.Close()
	room := srv.Room("general")
	for _, text := range []string{"one", "two", "three"} {
		_, err := room.Send(context.Background(), chat.Message{User: "bot", Content: text})
		check(err)
	}
	page, err := room.History(context.Background(), chat.Query{})
	check(err)
	position := chat.Position{Epoch: page.Head.Epoch, Rev: 2} // "one" has been handled before

	for entry, err := range room.Changes(context.Background(), position) {
		if errors.Is(err, chat.ErrReset) {
			break // start over from History
		}
		check(err)
		fmt.Println(entry.Rev, entry.Message.Content)
		if entry.Rev == 4 {
			break // or never: the loop waits for what comes
		}
	}
	// Output:
	// 3 two
	// 4 three
}

// How do I correct a message?
func ExampleRoom_Edit() {
	srv := start("general")
	defer srv.Close()
	room := srv.Room("general")
	m, err := room.Send(context.Background(), chat.Message{User: "bot", Content: "helo"})
	check(err)

	m, err = room.Edit(context.Background(), chat.Message{ID: m.ID, Content: "hello"})
	check(err)
	fmt.Println(m.Seq, m.Content, m.EditedAt.IsZero())
	// Output: 1 hello false
}

// How do I delete a message? It keeps its place and loses its content; a hard
// delete takes the author too.
func ExampleRoom_Delete() {
	srv := start("general")
	defer srv.Close()
	room := srv.Room("general")
	m, err := room.Send(context.Background(), chat.Message{User: "eve", Content: "spam"})
	check(err)

	m, err = room.Delete(context.Background(), m.ID, true)
	check(err)
	fmt.Printf("%d %q %q %v\n", m.Seq, m.User, m.Content, m.Deleted())
	// Output: 1 "" "" true
}

// How do I page back through a room?
func ExampleRoom_History() {
	srv := start("general")
	defer srv.Close()
	room := srv.Room("general")
	for i := range 5 {
		_, err := room.Send(context.Background(), chat.Message{User: "bot", Content: fmt.Sprint("message ", i+1)})
		check(err)
	}
	for q := (chat.Query{Limit: 2}); ; {
		page, err := room.History(context.Background(), q)
		check(err)
		for _, m := range page.Messages {
			fmt.Println(m.Content)
		}
		if !page.More {
			break
		}
		fmt.Println("older:")
		q.Before = page.Messages[0].Seq
	}
	// Output:
	// message 4
	// message 5
	// older:
	// message 2
	// message 3
	// older:
	// message 1
}

// How do I send somebody a direct message?
func ExampleServer_Direct() {
	srv := start()
	defer srv.Close()
	room := srv.Direct("alice", "bob")
	_, err := room.Create(context.Background(), chat.RoomInfo{})
	if err != nil && !errors.Is(err, chat.ErrConflict) { // they may have talked before
		panic(err)
	}
	_, err = room.Send(context.Background(), chat.Message{User: "alice", Content: "hi bob"})
	check(err)
	fmt.Println(room.ID() == srv.Direct("bob", "alice").ID())
	// Output: true
}

// How do I make a room, and rename it while people are in it?
func ExampleRoom_Update() {
	srv := start()
	defer srv.Close()
	room := srv.Room("general")
	_, err := room.Create(context.Background(), chat.RoomInfo{Title: "General", Topic: "Anything goes"})
	check(err)

	title := "Everybody"
	info, err := room.Update(context.Background(), chat.RoomUpdate{Title: &title})
	check(err)
	fmt.Println(info.Title, "-", info.Topic)
	// Output: Everybody - Anything goes
}

// How do I see who is in a room?
func ExampleRoom_Online() {
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, nil)
	for _, user := range []string{"bob", "alice", "bob"} { // bob on two devices
		srv.Dial(user).Join("general")
	}
	online, _ := srv.Room("general").Online(context.Background())
	fmt.Println(online, srv.User("carol").Online())
	// Output: [alice bob] false
}
