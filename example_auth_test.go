package chat_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/chattest"
)

// How do I use the session cookie that my site has already? Authenticate is
// your own lookup. The WebSocket's upgrade carries the cookie as every request
// does.
func ExampleAuthenticator() {
	sessions := map[string]chat.User{"5f2a": { // yours
		ID: "alice", Name: "Alice",
		Expires: time.Now().Add(8 * time.Hour), // when the cookie does: a socket does not outlive it
	}}
	authenticate := func(r *http.Request) (chat.User, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return chat.User{}, err
		}
		user, ok := sessions[c.Value]
		if !ok {
			return chat.User{}, errors.New("no such session")
		}
		return user, nil
	}
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Authenticate: authenticate})

	r, err := http.NewRequest(http.MethodGet, "http://chat.test/chat/rooms", nil)
	check(err)
	res, err := srv.HTTP("").Do(r)
	check(err)
	_ = res.Body.Close()
	fmt.Println("without:", res.StatusCode)
	r.AddCookie(&http.Cookie{Name: "session", Value: "5f2a"})
	res, err = srv.HTTP("").Do(r)
	check(err)
	_ = res.Body.Close()
	fmt.Println("with:", res.StatusCode)
	// Output:
	// without: 401
	// with: 200
}

// How do I let users in by the JWTs that my login signs?
func ExampleAuthenticator_jwt() {
	key := []byte("32 random bytes, kept out of git")
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Authenticate: auth.JWT(key)})

	token, err := auth.Sign(key, chat.User{ID: "alice", Name: "Alice"}, 15*time.Minute)
	check(err)
	alice := srv.Dial(token)
	fmt.Println(alice.Join("general").Users)
	// Output: [alice]
}

// How do I take away somebody's right to read a room that they are in? Have
// Authorize say no from now on, and Revoke look again.
func ExampleServer_Revoke() {
	banned := map[string]bool{} // yours; in a program behind a lock
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{
		Authorize: func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
			if banned[u.ID] {
				return chat.ErrForbidden
			}
			return chat.DefaultAuthorize(ctx, u, a, r)
		},
	})
	eve := srv.Dial("eve")
	eve.Join("general")

	banned["eve"] = true
	check(srv.Revoke(context.Background(), "eve", "general"))
	ev := eve.Expect("left")
	online, _ := srv.Room("general").Online(context.Background())
	fmt.Println(ev.Room, ev.Code, online)
	// Output: general forbidden []
}

// How do I throw somebody out altogether? Disconnect their sessions, after
// Authenticate has stopped letting them in.
func ExampleUserSessions_Disconnect() {
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, nil)
	laptop, phone := srv.Dial("eve"), srv.Dial("eve")

	n, _ := srv.User("eve").Disconnect(context.Background(), "banned")
	fmt.Println(n, "sessions")
	fmt.Println(laptop.CloseCode(), phone.CloseCode())
	// Output:
	// 2 sessions
	// 4501 4501
}

// How do I sign somebody out? Forget the cookie or token first, so that
// Authenticate does not take it any more, and then close what was opened with
// it: a WebSocket asks for nothing again. The page knows the id of its session
// from the welcome and can say it to your logout handler; without one, all
// sessions of the user are closed.
func ExampleUserSessions_SignOut() {
	var mu sync.Mutex
	sessions := map[string]chat.User{"5f2a": {ID: "alice"}, "91c0": {ID: "alice"}} // yours, by cookie or token
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Authenticate: func(r *http.Request) (chat.User, error) {
		mu.Lock()
		defer mu.Unlock()
		user, ok := sessions[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if !ok {
			return chat.User{}, chat.ErrUnauthenticated
		}
		return user, nil
	}})
	logout := func(cookie, session string) {
		mu.Lock()
		user := sessions[cookie]
		delete(sessions, cookie)
		mu.Unlock()
		_, err := srv.User(user.ID).SignOut(context.Background(), session)
		check(err)
	}
	laptop := srv.Dial("5f2a")
	onLaptop := srv.User("alice").Sessions()[0]
	phone := srv.Dial("91c0")

	logout("5f2a", onLaptop)
	fmt.Println("laptop:", laptop.CloseCode())
	fmt.Println("phone joins", phone.Join("general").Room)
	// Output:
	// laptop: 4500
	// phone joins general
}

// How do I make rooms private? By your own table, with the default as its last
// line. Who may not read a room is told that there is none.
func ExampleAuthorizer() {
	staff := func(ctx context.Context, u chat.User, a chat.Action, r chat.RoomInfo) error {
		if r.ID == "staff" && !u.HasRole("staff") {
			return chat.ErrForbidden
		}
		if a == chat.ActionModerate && u.HasRole("staff") {
			return nil
		}
		return chat.DefaultAuthorize(ctx, u, a, r)
	}
	t := &tb{}
	defer t.end()
	srv := chattest.New(t, &chat.Options{Authorize: staff, Authenticate: func(r *http.Request) (chat.User, error) {
		u, err := chattest.TokenIsUser(r)
		if u.ID == "sam" {
			u.Roles = []string{"staff"}
		}
		return u, err
	}})
	sam, alice := srv.Dial("sam"), srv.Dial("alice")
	fmt.Println(sam.Join("staff").Room)
	fmt.Println(alice.Call(map[string]any{"type": "join", "room": "staff"}).Code)
	// Output:
	// staff
	// not_found
}
