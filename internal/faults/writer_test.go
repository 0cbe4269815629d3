package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// ack is an acknowledged message.
type ack struct {
	ID    string `json:"id"`
	Seq   int64  `json:"seq"`
	Nonce string `json:"nonce"`
	Room  string `json:"room"`
	User  any    `json:"user"`
}

// writer sends messages to rooms, one at a time, to any node, each until it is
// acknowledged.
type writer struct {
	t     testing.TB
	addrs []string
	user  string
	rooms []string
	http  *http.Client

	acks []ack
	slow time.Duration // the longest that a single call has taken
	last func(time.Time)

	abandon *atomic.Bool // nothing can be acknowledged any more
	lossy   *atomic.Bool // the store loses rooms
}

// run writes until ctx ends; a message that has been begun is seen through.
func (w *writer) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		room := w.rooms[i%len(w.rooms)]
		nonce := fmt.Sprintf("%s-%d", w.user, i)
		for try := 0; ; try++ {
			a, again, err := w.post(room, nonce)
			if err != nil && !again {
				w.t.Errorf("%s in %s: %v", nonce, room, err)
				return
			}
			if err == nil {
				w.acks = append(w.acks, a)
				w.last(time.Now())
				break
			}
			if w.abandon.Load() {
				return
			}
			if try > 2000 {
				w.t.Errorf("%s in %s: never acknowledged: %v", nonce, room, err)
				return
			}
			time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		}
		time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
	}
}

// post makes one try. again tells that it may be made again.
func (w *writer) post(room, nonce string) (a ack, again bool, err error) {
	body, _ := json.Marshal(map[string]string{"content": "from " + nonce, "nonce": nonce})
	req, err := http.NewRequest(http.MethodPost, "http://"+w.addrs[rand.IntN(len(w.addrs))]+"/chat/rooms/"+room+"/messages", bytes.NewReader(body))
	if err != nil {
		return a, false, err
	}
	req.Header.Set("Authorization", "Bearer "+w.user)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := w.http.Do(req)
	if err != nil {
		return a, true, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	w.slow = max(w.slow, time.Since(began))
	switch {
	case err != nil:
		return a, true, err
	case resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusTooManyRequests:
		return a, true, fmt.Errorf("%d %s", resp.StatusCode, raw)
	case resp.StatusCode == http.StatusNotFound && w.lossy.Load():
		// This server has not been in the room, so it cannot know that the
		// store has lost it; one that has makes it anew.
		return a, true, fmt.Errorf("%d %s", resp.StatusCode, raw)
	case resp.StatusCode/100 != 2:
		return a, false, fmt.Errorf("%d %s", resp.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, false, fmt.Errorf("%s: %w", raw, err)
	}
	a.Room, a.Nonce = room, nonce
	if a.Seq == 0 || a.ID == "" {
		return a, false, fmt.Errorf("an answer without seq: %s", raw)
	}
	return a, false, nil
}
