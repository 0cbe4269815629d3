// Hello answers the question: how do I add chat to my HTTP server?
//
//	go run ./examples/hello
package main

import (
	"embed"
	"log"
	"net/http"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/gabblehq/chat/storage/memory"
)

//go:embed index.html hello.js
var page embed.FS

func main() {
	srv, err := chat.New(&chat.Options{Store: memory.New(), Authenticate: auth.Anonymous()})
	if err != nil {
		log.Fatal(err)
	}
	log.Println("open http://localhost:8080 in two windows")
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", routes(srv)))
}

func routes(srv *chat.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv)) // WebSocket, REST, health
	mux.Handle("/", http.FileServerFS(page))             // your pages
	return mux
}
