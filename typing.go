package chat

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

const (
	// maxTypists bounds how many are shown as typing at once: in a large room
	// nobody can make use of more.
	maxTypists = 20
	// retell is how often others are told that somebody is still typing, so
	// that those who have come meanwhile know as well.
	retell = 2 * time.Second
)

// shows notes that a user of this server is typing, or no longer is.
func (r *liveRoom) shows(who wire.User, active bool) {
	if r.typed(who, active) && r.srv.cluster != nil {
		r.srv.cluster.relay(r.id, who, active)
	}
}

// typed notes that the user is typing, or no longer is, and reports whether
// others have been told.
func (r *liveRoom) typed(who wire.User, active bool) (told bool) {
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
		u.who, u.until = who, now.Add(r.srv.opt.Limits.TypingExpiry)
		if now.Sub(u.told) >= retell {
			u.told = now
			frame = r.typingFrame(who, true)
		}
		if !t.timer {
			t.timer = true
			r.hold()
			r.srv.timers.At(u.until, (*typingTimer)(r))
		}
	case t != nil && t.users[who.ID] != nil:
		frame = r.typingFrame(t.users[who.ID].who, false)
		delete(t.users, who.ID)
	}
	r.mu.Unlock()
	r.signal(frame)
	return frame != nil
}

// spoken ends the typing of those whose messages come from other servers: a
// signal of its own may come late.
func (r *liveRoom) spoken(entries []Entry) {
	r.mu.Lock()
	silent := r.typing == nil
	r.mu.Unlock()
	if silent {
		return
	}
	for i := range entries {
		if m := entries[i].Message; m != nil && m.FirstRev == m.Rev {
			r.typed(wire.User{ID: m.User}, false)
		}
	}
}

// typingTimer ends typing that nobody has ended.
type typingTimer liveRoom

func (tt *typingTimer) Ring(now time.Time) {
	r := (*liveRoom)(tt)
	var frames [][]byte
	var next time.Time
	r.mu.Lock()
	t := r.typing
	for id, u := range t.users {
		if !u.until.After(now) {
			delete(t.users, id)
			frames = append(frames, r.typingFrame(u.who, false))
		} else if next.IsZero() || u.until.Before(next) {
			next = u.until
		}
	}
	if next.IsZero() {
		r.typing = nil
	} else {
		r.srv.timers.At(next, tt)
	}
	r.mu.Unlock()
	for _, f := range frames {
		r.signal(f)
	}
	if next.IsZero() {
		r.release()
	}
}

func (r *liveRoom) typingFrame(who wire.User, active bool) []byte {
	return wire.Seal(wire.AppendTyping(wire.NewFrame(128), &wire.Typing{Room: r.id, User: who, Active: active}))
}
