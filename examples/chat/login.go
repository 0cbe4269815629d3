package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
)

const (
	tokenTTL = 12 * time.Hour
	maxBody  = 4 << 10
	maxKnown = 10_000
)

// loginRate is per address: an office behind one gets back in after a restart,
// a script does not get far.
var loginRate = chat.Rate{PerSecond: 5, Burst: 60}

// door lets people in by name. It is this demo's stand-in for the sign-in that
// a real host has already: anybody may say any name. What the chat trusts is
// the token.
type door struct {
	secret  []byte
	limiter chat.Limiter

	mu    sync.Mutex
	known map[string]chat.User // by id, for the names in old messages
}

// newDoor returns a door that counts sign-ins with the limiter; nil: by itself.
func newDoor(secret []byte, limiter chat.Limiter) *door {
	if limiter == nil {
		limiter = chat.NewLimiter()
	}
	return &door{secret: secret, limiter: limiter, known: make(map[string]chat.User)}
}

type loginAnswer struct {
	Token       string    `json:"token"`
	User        loginUser `json:"user"`
	ExpiresInMS int64     `json:"expires_in_ms"`
}

type loginUser struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Avatar string `json:"avatar,omitempty"`
}

// ServeHTTP answers POST /login {"name": "alice"}.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait, err := d.limiter.Allow(r.Context(), visitor(r.RemoteAddr), loginRate)
	if err == nil && wait > 0 {
		refuse(w, http.StatusTooManyRequests, &chat.Error{Code: chat.CodeRateLimited, Message: "Too many sign-ins from here. Wait a moment.", RetryAfter: wait})
		return
	}
	name, refusal := readName(http.MaxBytesReader(w, r.Body, maxBody))
	if refusal != nil {
		refuse(w, http.StatusBadRequest, refusal)
		return
	}
	user := chat.User{ID: userID(name), Name: name}
	token, err := auth.Sign(d.secret, user, tokenTTL)
	if err != nil {
		refuse(w, http.StatusInternalServerError, &chat.Error{Code: chat.CodeInternal, Message: "No token could be made."})
		return
	}
	answer(w, http.StatusOK, loginAnswer{Token: token, User: loginUser{ID: user.ID, Name: user.Name}, ExpiresInMS: tokenTTL.Milliseconds()})
}

func readName(body io.Reader) (string, *chat.Error) {
	var in struct {
		Name string `json:"name"`
	}
	dec := json.NewDecoder(body)
	if err := dec.Decode(&in); err != nil {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: `The body must be an object like {"name": "alice"}.`}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", &chat.Error{Code: chat.CodeInvalid, Message: "There is something after the object."}
	}
	return cleanName(in.Name)
}

// authenticate remembers what those are called who come with a token, which
// any node may have made, today or before its restart.
func (d *door) authenticate(tokens chat.Authenticator) chat.Authenticator {
	return func(r *http.Request) (chat.User, error) {
		user, err := tokens(r)
		if err == nil {
			d.remember(user)
		}
		return user, err
	}
}

// remember keeps a bounded number of names; when it is full, somebody is
// forgotten.
func (d *door) remember(user chat.User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.known[user.ID]; !ok && len(d.known) >= maxKnown {
		for id := range d.known {
			delete(d.known, id)
			break
		}
	}
	d.known[user.ID] = user
}

// users is Options.Users: the names of people who are not connected. Who has
// never been here is called what the id says: a name but for capitals.
func (d *door) users(_ context.Context, ids []string) ([]chat.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []chat.User
	for _, id := range ids {
		if user, ok := d.known[id]; ok {
			found = append(found, user)
		} else if name := nameOf(id); name != id {
			found = append(found, chat.User{ID: id, Name: name})
		}
	}
	return found, nil
}

// visitor is what sign-ins are counted by: the address, of an IPv6 one the
// network, because whoever has one has all of it.
func visitor(remote string) string {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := addr.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// refuse answers with an error in the form that the chat's own have.
func refuse(w http.ResponseWriter, status int, err *chat.Error) {
	body := struct {
		Code         chat.Code `json:"code"`
		Message      string    `json:"message"`
		Field        string    `json:"field,omitempty"`
		RetryAfterMS int64     `json:"retry_after_ms,omitempty"`
	}{err.Code, err.Message, err.Field, err.RetryAfter.Milliseconds()}
	if err.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(err.RetryAfter.Seconds()))))
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the visitor may be gone
}
