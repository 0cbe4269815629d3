package chattest_test

import (
	"fmt"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
)

// tb stands for the *testing.T of a test.
type tb struct {
	testing.TB
	cleanups []func()
}

func (*tb) Helper()                      {}
func (*tb) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (*tb) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (*tb) Errorf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (t *tb) Cleanup(f func())           { t.cleanups = append(t.cleanups, f) }
func (t *tb) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// How do I test my program's chat? Start a server in the test's memory and
// talk to it as your users would.
func Example() {
	t := &tb{} // in a test, its *testing.T
	defer t.end()

	srv := chattest.New(t, nil)
	alice, bob := srv.Dial("alice"), srv.Dial("bob")
	alice.Join("general")
	bob.Join("general")

	bob.Send("general", "hello")
	ev := alice.Expect("message")
	fmt.Println(ev.User, "says", ev.Message.Content)
	// Output: bob says hello
}

// How do I test that something is refused? Call returns whatever answers a
// command, errors included.
func ExampleClient_Call() {
	t := &tb{} // in a test, its *testing.T
	defer t.end()

	srv := chattest.New(t, &chat.Options{Limits: chat.Limits{Content: 5}})
	alice := srv.Dial("alice")
	alice.Join("general")

	ev := alice.Call(map[string]any{"type": "message", "room": "general", "content": "too long"})
	fmt.Println(ev.Type, ev.Code, ev.Field)
	// Output: error too_large content
}
