package chat_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// tb lets examples use chattest, which is made for tests.
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

// check ends an example that went wrong.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// visit serves a program for one request and prints the answer.
func visit(h http.Handler, path string) {
	hs := httptest.NewServer(h)
	defer hs.Close()
	res, err := hs.Client().Get(hs.URL + path)
	check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	check(err)
	fmt.Println(res.Status, string(body))
}

// How do I add chat to my HTTP server? Mount it on a route.
func Example() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv)) // WebSocket at /chat/ws, REST beside it
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { /* your pages */ })

	visit(mux, "/chat/rooms")
	// Output: 200 OK {"rooms":[],"more":false}
}

// How do I mount it in chi, behind its middleware? The same way; chi does not
// strip the prefix by itself.
func ExampleServer_chi() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	check(err)
	defer srv.Close()

	r := chi.NewRouter()
	r.Use(chimw.RequestID, chimw.Recoverer)
	r.Mount("/chat", http.StripPrefix("/chat", srv))

	visit(r, "/chat/healthz")
	// Output: 200 OK {"status":"ok"}
}

// ginEngine, ginContext and wrapH stand for gin's: Engine.Any("/chat/*path",
// gin.WrapH(handler)), whose ResponseWriter passes Hijack on.
type ginContext struct{ http.ResponseWriter }

func (c *ginContext) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(c.ResponseWriter).Hijack()
}

func wrapH(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&ginContext{w}, r) })
}

// How do I mount it in gin? Wrapped with gin.WrapH, under a wildcard route:
//
//	engine.Any("/chat/*path", gin.WrapH(http.StripPrefix("/chat", srv)))
func ExampleServer_gin() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	check(err)
	defer srv.Close()

	engine := http.NewServeMux()
	engine.Handle("/chat/{path...}", wrapH(http.StripPrefix("/chat", srv)))

	visit(engine, "/chat/readyz")
	// Output: 200 OK {"status":"ready"}
}

// What happens when I forget StripPrefix? The answer names the fix.
func ExampleServer_wrongMount() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	check(err)
	defer srv.Close()

	visit(srv, "/chat/ws")
	// Output: 404 Not Found {"code":"not_found","message":"the chat was asked for /chat/ws: mount it with http.StripPrefix(\"/chat\", srv)"}
}

// How do I give the chat a port of its own, at the least cost per connection?
func ExampleServer_Serve() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: chattest.TokenIsUser})
	check(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()

	t := &tb{}
	conn, err := net.Dial("tcp", ln.Addr().String())
	check(err)
	alice := chattest.NewClient(t, conn, "ws://"+ln.Addr().String()+"/ws", "alice")
	fmt.Println("joined", alice.Join("general").Room)
	t.end()

	check(srv.Close())
	fmt.Println(<-served)
	// Output:
	// joined general
	// chat: server closed
}

// What is wrong with my options? New says all of it at once.
func ExampleNew_mistakes() {
	_, err := chat.New(&chat.Options{Engine: "threads", Limits: chat.Limits{Rooms: -1}})
	fmt.Println(err)
	// Output:
	// chat: Options.Store: is required; memory.New() keeps everything in this process
	// chat: Options.Authenticate: is required; auth.Anonymous() lets everybody in
	// chat: Options.Engine: "threads" is neither "epoll" nor "goroutine"
	// chat: Options.Limits.Rooms: -1 is negative
}
