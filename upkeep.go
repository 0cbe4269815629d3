package chat

import "time"

// The log of a room, in the store, and its topic, here, are to end alike. Many
// things tell that they may not: a hint, hints that were missed, an append of
// unknown outcome, a page that shows another log than the topic has. Then
// somebody has to look: the room's committer, of whom there is one at a time.
// Nobody looks while nobody follows the room; who comes first has it looked at.
//
//	       suspect
//	sure ───────────▶ unsure ◀──────────── deferred
//	  ▲                 │     again            ▲
//	  └─────────────────┤                      │
//	  the committer looks                      │
//	                    └──────────────────────┘
//	                      and the store does not say
//
// Whatever makes due true is followed by a start under the same lock (see
// liveRoom.note), so that a wake-up cannot fall between two looks: who follows
// is counted before, who commits asks due once more before they stop.

// doubt is whether the topic may lack something of the log.
type doubt uint8

const (
	sure     doubt = iota
	unsure         // the log may hold what the topic has not been told of
	deferred       // unsure, but the store does not say: a timer, or its return, asks again
)

// maxHints is how many hints a room keeps that it has not heeded: beyond that,
// reading the store is the shorter way.
const maxHints = 64

// upkeep is what there is to look after in a room. The room's lock guards it.
// followed says whether anybody follows the room, as of under that lock.
type upkeep struct {
	doubt      doubt
	committing bool  // somebody is the room's committer
	told       *told // nil: no hints that have not been heeded
}

// told is what others have told of the log.
type told struct {
	hints []Hint
	since time.Time
}

// lateHint is how long a hint may wait to be heeded before it is taken for news
// that this server does not know: most are within a moment, but for a committer
// whom the store keeps waiting.
const lateHint = 50 * time.Millisecond

// current reports whether all that has been heard of is known here, or is about
// to be.
func (u *upkeep) current(now time.Time) bool {
	return u.doubt == sure && (u.told == nil || now.Sub(u.told.since) < lateHint)
}

// suspect notes that the log may hold what the topic has not been told of.
func (u *upkeep) suspect() { u.doubt = unsure }

// again has a doubt that was deferred looked after.
func (u *upkeep) again() {
	if u.doubt == deferred {
		u.doubt = unsure
	}
}

// postpone notes that the store does not say.
func (u *upkeep) postpone() { u.doubt = deferred }

// compared notes whether the log was found to end where the topic does.
func (u *upkeep) compared(same bool) {
	if u.again(); !same {
		u.suspect()
	}
}

// hear notes a hint.
func (u *upkeep) hear(h Hint, followed bool) {
	switch {
	case !followed || u.told != nil && len(u.told.hints) == maxHints:
		u.told = nil
		u.suspect()
	case u.told == nil:
		u.told = &told{[]Hint{h}, time.Now()}
	default:
		u.told.hints = append(u.told.hints, h)
	}
}

// takeHints hands the committer what has been heard.
func (u *upkeep) takeHints() (hints []Hint) {
	if u.told != nil {
		hints, u.told = u.told.hints, nil
	}
	return hints
}

// takeDoubt reports whether the committer is to look now, who is sure
// afterwards unless it says otherwise.
func (u *upkeep) takeDoubt(followed bool) bool {
	if u.doubt != unsure || !followed {
		return false
	}
	u.doubt = sure
	return true
}

// due reports whether somebody has to look.
func (u *upkeep) due(followed bool) bool {
	return u.told != nil || u.doubt == unsure && followed
}

// start reports whether the caller has to get a committer going.
func (u *upkeep) start(followed bool) bool {
	if u.committing || !u.due(followed) {
		return false
	}
	u.committing = true
	return true
}

// lead makes the caller, who has something to commit, the committer, unless
// there is one.
func (u *upkeep) lead() bool {
	lead := !u.committing
	u.committing = true
	return lead
}

// stop ends the committer's turn. It reports whether another has to follow,
// because something waits to be committed or is due.
func (u *upkeep) stop(waits, followed bool) bool {
	u.committing = waits || u.due(followed)
	return u.committing
}

// note notes something that may have to be looked after, and has that done. It
// reports whether somebody looks.
func (r *liveRoom) note(event func(*upkeep)) (looks bool) {
	leave := r.srv.inUse.Enter() // else nobody is here any more
	r.mu.Lock()
	event(&r.upkeep)
	looks = leave && r.upkeep.due(r.followed())
	run := leave && r.upkeep.start(r.followed())
	r.mu.Unlock()
	if run {
		r.hold()
		r.srv.workers.commits.Run(mender{r})
	} else if leave {
		r.srv.inUse.Leave()
	}
	return looks
}

// followed reports whether anybody follows the room on this server.
func (r *liveRoom) followed() bool { return r.Topic.Len() > 0 }

// nudge has what is due looked after, now that somebody follows the room.
func (r *liveRoom) nudge() { r.note(func(*upkeep) {}) }

// suspect has somebody look whether the log holds what the topic does not.
func (r *liveRoom) suspect() { r.note((*upkeep).suspect) }

// mender is a committer that nobody's commit has called for.
type mender struct{ *liveRoom }

func (m mender) Work() {
	defer m.srv.inUse.Leave()
	defer m.release()
	m.commitGroup()
}
