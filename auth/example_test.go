package auth_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
)

// A login of your own: sign a token for the page, and verify it with the key.
func ExampleJWT() {
	key := []byte("32 random bytes, kept out of git")
	authenticate := auth.JWT(key) // for chat.Options.Authenticate

	token, err := auth.Sign(key, chat.User{ID: "alice", Name: "Alice"}, 15*time.Minute)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/chat/ws", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	user, err := authenticate(r)
	fmt.Println(user.ID, user.Name, err)

	r.Header.Set("Authorization", "Bearer "+token[:len(token)-4]+"AAAA")
	_, err = authenticate(r)
	fmt.Println(errors.Is(err, chat.ErrUnauthenticated))
	// Output:
	// alice Alice <nil>
	// true
}

// An identity provider: who signed, for whom, and what makes a user of it.
func ExampleJWTWith() {
	authenticate, err := auth.JWTWith(auth.JWTOptions{
		Keys:     map[string]any{"2026-11": []byte("32 random bytes, kept out of git")},
		Issuer:   "https://login.example.com/",
		Audience: "chat",
		Claims: func(_ context.Context, claims map[string]any) (chat.User, error) {
			id, _ := claims["sub"].(string)
			nick, _ := claims["nickname"].(string)
			return chat.User{ID: id, Name: nick}, nil
		},
	})
	fmt.Println(authenticate != nil, err)

	_, err = auth.JWTWith(auth.JWTOptions{Key: []byte("too short"), Leeway: time.Hour})
	fmt.Println(err)
	// Output:
	// true <nil>
	// auth: JWTOptions.Key: the secret has 9 bytes, not the 32 that keep it from being guessed
	// auth: JWTOptions.Leeway: 1h0m0s is more than a minute
}

func ExampleSign() {
	key := []byte("32 random bytes, kept out of git")
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// ... who is it? check the password, then:
		token, err := auth.Sign(key, chat.User{ID: "alice", Name: "Alice"}, 15*time.Minute)
		if err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `{"token": %q}`, token)
	})
}

// Tokens in a table of the host, where only their hashes are kept.
func ExampleToken() {
	sessions := map[[32]byte]chat.User{
		sha256.Sum256([]byte("a-random-session-token")): {ID: "alice", Name: "Alice"},
	}
	authenticate := auth.Token(func(_ context.Context, token string) (chat.User, error) {
		user, ok := sessions[sha256.Sum256([]byte(token))]
		if !ok {
			return chat.User{}, errors.New("no such session")
		}
		return user, nil
	})

	r := httptest.NewRequest(http.MethodGet, "/chat/ws", nil)
	r.Header.Set("Authorization", "Bearer a-random-session-token")
	user, err := authenticate(r)
	fmt.Println(user.ID, err)
	// Output: alice <nil>
}

func ExampleAnonymous() {
	r := httptest.NewRequest(http.MethodGet, "/chat/ws?user=admin", nil)
	r.Header.Set("Authorization", "Bearer 3e8b6f0c-0d4e-4a6e-9d0a-0a4c5a1b2c3d:Ada%20Lovelace")
	user, err := auth.Anonymous()(r)
	fmt.Println(user.ID, user.Name, err)
	// Output: guest-hjoeq7ubngp2pmqwls2wmfbxc6 Ada Lovelace (guest) <nil>
}

// Another server posts on behalf of its users.
func ExampleAPIKey() {
	authenticate := auth.APIKey(map[string]string{
		"billing": "4f0d8c1b2a6e4f7d9b3c5e8a1d2f6b7c", // from the environment, of course
	}, nil)

	r := httptest.NewRequest(http.MethodPost, "/chat/rooms/general/messages", nil)
	r.Header.Set("Authorization", "Bearer 4f0d8c1b2a6e4f7d9b3c5e8a1d2f6b7c")
	r.Header.Set(auth.UserHeader, "alice")
	user, err := authenticate(r)
	fmt.Println(user.ID, user.Roles, err)
	// Output: alice [api api:billing] <nil>
}

// Servers by key, people by token, everybody else as a guest.
func ExampleFirst() {
	authenticate := auth.First(
		auth.APIKey(map[string]string{"billing": "4f0d8c1b2a6e4f7d9b3c5e8a1d2f6b7c"}, nil),
		auth.JWT([]byte("32 random bytes, kept out of git")),
		auth.Anonymous(),
	)
	user, err := authenticate(httptest.NewRequest(http.MethodGet, "/chat/ws", nil))
	fmt.Println(user.HasRole("guest"), err)
	// Output: true <nil>
}

// An Authenticator is a func: this one reads the host's own session cookie.
func ExampleErrNoCredential() {
	sessions := map[string]chat.User{"k7x": {ID: "alice"}}
	cookie := func(r *http.Request) (chat.User, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return chat.User{}, auth.ErrNoCredential
		}
		user, ok := sessions[c.Value]
		if !ok {
			return chat.User{}, chat.ErrUnauthenticated
		}
		return user, nil
	}
	authenticate := auth.First(cookie, auth.Anonymous())

	r := httptest.NewRequest(http.MethodGet, "/chat/ws", nil)
	r.AddCookie(&http.Cookie{Name: "session", Value: "k7x"})
	user, err := authenticate(r)
	fmt.Println(user.ID, err)
	// Output: alice <nil>
}

func ExampleBearerToken() {
	r := httptest.NewRequest(http.MethodGet, "/chat/ws?token=not-this-one", nil)
	r.Header.Set("Authorization", "bearer this-one")
	fmt.Println(auth.BearerToken(r))
	// Output: this-one true
}
