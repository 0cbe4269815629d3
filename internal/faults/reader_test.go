package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// frame is what a reader looks at in a frame.
type frame struct {
	Type     string  `json:"type"`
	Room     string  `json:"room"`
	Epoch    string  `json:"epoch"`
	Head     int64   `json:"head"`
	Rev      int64   `json:"rev"`
	FirstRev int64   `json:"first_rev"`
	Seq      int64   `json:"seq"`
	ID       string  `json:"id"`
	Nonce    string  `json:"nonce"`
	Reset    bool    `json:"reset"`
	Code     string  `json:"code"`
	Messages []frame `json:"messages"`
}

// reader follows one room from one node after the other, as a client does: it
// resumes from the last position it has handled.
type reader struct {
	t     testing.TB
	addrs []string
	user  string
	room  string

	lossy *atomic.Bool // the store loses rooms

	mu     sync.Mutex
	joined bool
	epoch  string
	rev    int64
	seqs   map[int64]string // id by seq, in the present epoch
	resets int
	cuts   int
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	r.seqs = make(map[int64]string)
	for i := 0; ctx.Err() == nil; i++ {
		if err := r.follow(ctx, r.addrs[i%len(r.addrs)]); err != nil {
			r.t.Errorf("%s in %s: %v", r.user, r.room, err)
			return
		}
		r.mu.Lock()
		r.cuts++
		r.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// follow is one connection. It returns an error only for what must not happen.
func (r *reader) follow(ctx context.Context, addr string) error {
	d := ws.Dialer{
		Timeout: 2 * time.Second, Protocols: []string{"gabble.v1.json"},
		Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + r.user}}),
	}
	conn, br, _, err := d.Dial(ctx, "ws://"+addr+"/chat/ws")
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var rw net.Conn = conn
	if br != nil {
		rw = &buffered{conn, br}
	}
	join := map[string]any{"type": "join", "ref": "j", "room": r.room, "history": 200}
	r.mu.Lock()
	if r.joined {
		join = map[string]any{"type": "join", "ref": "j", "room": r.room, "epoch": r.epoch, "after": r.rev}
	}
	r.mu.Unlock()
	b, _ := json.Marshal(join)
	if err := wsutil.WriteClientText(conn, b); err != nil {
		return nil
	}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		payload, op, err := wsutil.ReadServerData(rw)
		if err != nil {
			return nil // cut off: come back
		}
		if op != ws.OpText {
			continue
		}
		var f frame
		if err := json.Unmarshal(payload, &f); err != nil {
			return fmt.Errorf("%.200s: %w", payload, err)
		}
		r.mu.Lock()
		again, err := r.take(&f)
		r.mu.Unlock()
		if err != nil {
			return fmt.Errorf("%w: %.300s", err, payload)
		}
		if again {
			return nil
		}
	}
}

// take checks a frame against everything before. again: come back.
func (r *reader) take(f *frame) (again bool, err error) {
	switch f.Type {
	case "joined":
		if !r.joined || f.Reset {
			return false, r.page(f)
		}
		r.epoch = f.Epoch
	case "reset":
		return false, r.page(f)
	case "message":
		if f.Rev != r.rev+1 {
			return false, fmt.Errorf("rev %d after %d", f.Rev, r.rev)
		}
		if id, ok := r.seqs[f.Seq]; ok {
			return false, fmt.Errorf("seq %d is %s already", f.Seq, id)
		}
		r.rev, r.seqs[f.Seq] = f.Rev, f.ID
	case "synced":
		r.epoch, r.rev = f.Epoch, max(r.rev, f.Rev)
	case "room":
		r.rev = max(r.rev, f.Rev)
	case "error":
		if f.Code != "unavailable" {
			return false, fmt.Errorf("error")
		}
		return true, nil
	case "left":
		return false, fmt.Errorf("left")
	}
	return false, nil
}

// differs says what the reader has that is not in the log, or lacks. After a
// reset it need not have what is older than the page that it got.
func (r *reader) differs(log []frame) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for seq, id := range r.seqs {
		if seq > int64(len(log)) || log[seq-1].ID != id {
			return fmt.Sprintf("seq %d of %d is %s, at rev %d of epoch %s after %d resets", seq, len(log), id, r.rev, r.epoch, r.resets)
		}
	}
	for i := range log {
		if _, ok := r.seqs[log[i].Seq]; !ok && (r.resets == 0 || i == len(log)-1) {
			return fmt.Sprintf("seq %d of %d is missing, at rev %d of epoch %s after %d resets", log[i].Seq, len(log), r.rev, r.epoch, r.resets)
		}
	}
	return ""
}

// page starts over.
func (r *reader) page(f *frame) error {
	if r.joined {
		if f.Epoch == r.epoch && !r.lossy.Load() {
			return fmt.Errorf("a reset within epoch %s", r.epoch)
		}
		r.resets++
	}
	r.joined, r.epoch, r.rev = true, f.Epoch, f.Head
	clear(r.seqs)
	for i := range f.Messages {
		r.seqs[f.Messages[i].Seq] = f.Messages[i].ID
	}
	return nil
}

// buffered is a connection whose first bytes came in with the handshake.
type buffered struct {
	net.Conn
	br interface{ Read([]byte) (int, error) }
}

func (b *buffered) Read(p []byte) (int, error) { return b.br.Read(p) }
