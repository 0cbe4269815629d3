package presence

import (
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// typing is who is typing in a room. The room's lock guards it.
type typing struct {
	users map[string]*typist
	timer bool // a typingTimer is set
}

type typist struct {
	who   wire.User
	until time.Time // ends by itself then
	told  time.Time // when others were told last
}

// TypingEvery is how often others are told that somebody is still typing, so that
// those who have come meanwhile know as well.
const TypingEvery = 2 * time.Second

// maxTypists bounds how many are shown as typing at once: in a large room nobody
// can make use of more.
const maxTypists = 20

// SetTyping notes that a user of this server is typing, or no longer is, and
// tells the peers.
func (r *Room) SetTyping(who wire.User, active bool) {
	if r.setTyping(who, active) {
		h := r.Home()
		h.Board().RelayTyping(h.ID(), who, active)
	}
}

// setTyping notes that the user is typing, or no longer is, and reports whether
// others have been told. The lock is not held.
func (r *Room) setTyping(who wire.User, active bool) (told bool) {
	now := time.Now()
	var frame []byte
	r.mu.Lock()
	switch t := r.typing; {
	case active:
		if t == nil {
			t = &typing{users: make(map[string]*typist)}
			r.typing = t
		}
		u := t.users[who.ID]
		if u == nil && len(t.users) < maxTypists {
			u = &typist{}
			t.users[who.ID] = u
		}
		if u == nil {
			break
		}
		h := r.Home()
		o := &h.Board().opt
		u.who, u.until = who, now.Add(o.TypingExpiry)
		if now.Sub(u.told) >= TypingEvery {
			u.told = now
			frame = r.typingFrame(who, true)
		}
		if !t.timer {
			t.timer = true
			h.Hold()
			o.Timers.At(u.until, (*typingTimer)(r))
		}
	case t != nil && t.users[who.ID] != nil:
		frame = r.typingFrame(t.users[who.ID].who, false)
		delete(t.users, who.ID)
	}
	r.mu.Unlock()
	r.signal(frame)
	return frame != nil
}

// AnybodyTyping reports whether EndTyping may have something to end.
func (r *Room) AnybodyTyping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.typing != nil
}

// EndTyping notes that a user no longer is typing, as the peers know as well.
func (r *Room) EndTyping(user string) { r.setTyping(wire.User{ID: user}, false) }

// typingTimer ends typing that nobody has ended.
type typingTimer Room

func (t *typingTimer) Ring(now time.Time) {
	r := (*Room)(t)
	var frames [][]byte
	var next time.Time
	r.mu.Lock()
	for id, u := range r.typing.users {
		if !u.until.After(now) {
			delete(r.typing.users, id)
			frames = append(frames, r.typingFrame(u.who, false))
		} else if next.IsZero() || u.until.Before(next) {
			next = u.until
		}
	}
	if next.IsZero() {
		r.typing = nil
	} else {
		r.board().opt.Timers.At(next, t)
	}
	r.mu.Unlock()
	for _, f := range frames {
		r.signal(f)
	}
	if next.IsZero() {
		r.Home().Release()
	}
}

func (r *Room) typingFrame(who wire.User, active bool) []byte {
	return wire.Seal(wire.AppendTyping(wire.NewFrame(128), &wire.Typing{Room: r.Home().ID(), User: who, Active: active}))
}
