// Hello answers the question: how do I add chat to my HTTP server?
//
//	go run ./examples/hello
package main

import (
	"embed"
	"log"
	"net/http"
	"time"

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
	web := &http.Server{
		Addr: "127.0.0.1:8080", Handler: routes(srv),
		// Without these, who sends nothing or reads nothing stays for ever. A
		// WebSocket is the chat's from its upgrade on, they do not end it.
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	log.Println("open http://localhost:8080 in two windows")
	log.Fatal(web.ListenAndServe())
}

func routes(srv *chat.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/chat/", http.StripPrefix("/chat", srv)) // WebSocket, REST, health
	mux.Handle("/", http.FileServerFS(page))             // your pages
	return chat.ExactPaths(mux)
}
