package chat

import "time"

// The log of a room, in the store, and its topic, here, are to end alike. Many
// things tell that they may not: a hint, hints that were missed, an append of
// unknown outcome, a page that shows another log than the topic has. Then
// somebody has to look: the room's committer, of whom there is one at a time.
// Nobody looks while nobody follows the room; who comes first has it looked at.
//
//	       markStale
//	inSync ─────────▶ stale ◀──────────── deferred
//	  ▲                 │     retry            ▲
//	  └─────────────────┤                      │
//	  the committer looks                      │
//	                    └──────────────────────┘
//	                      and the store does not say
//
// Whatever makes due true is followed by a start under the same lock (see
// liveRoom.note), so that a wake-up cannot fall between two looks: who follows
// is counted before, who commits asks due once more before they stop.

// logState is whether the topic may lack something of the log.
type logState uint8

const (
	inSync   logState = iota
	stale             // the log may hold what the topic has not been told of
	deferred          // stale, but the store does not say: a timer, or its return, asks again
)

// maxHints is how many hints a room keeps that it has not applied: beyond that,
// reading the store is the shorter way.
const maxHints = 64

// upkeep is what there is to look after in a room. The room's lock guards it.
// followed says whether anybody follows the room, as of under that lock.
type upkeep struct {
	state      logState
	committing bool       // somebody is the room's committer
	queued     *hintQueue // nil: no hints that have not been applied
}

// hintQueue is what others have told of the log.
type hintQueue struct {
	hints []Hint
	since time.Time
}

// lateHint is how long a hint may wait to be applied before it is taken for news
// that this server does not know: most are within a moment, but for a committer
// whom the store keeps waiting.
const lateHint = 50 * time.Millisecond

// current reports whether all that has been told is known here, or is about
// to be.
func (u *upkeep) current(now time.Time) bool {
	return u.state == inSync && (u.queued == nil || now.Sub(u.queued.since) < lateHint)
}

// markStale notes that the log may hold what the topic has not been told of.
func (u *upkeep) markStale() { u.state = stale }

// retry has a repair that was deferred done.
func (u *upkeep) retry() {
	if u.state == deferred {
		u.state = stale
	}
}

// postpone notes that the store does not say.
func (u *upkeep) postpone() { u.state = deferred }

// compared notes whether the log was found to end where the topic does.
func (u *upkeep) compared(same bool) {
	if u.retry(); !same {
		u.markStale()
	}
}

// addHint notes a hint.
func (u *upkeep) addHint(h Hint, followed bool) {
	switch {
	case !followed || u.queued != nil && len(u.queued.hints) == maxHints:
		u.queued = nil
		u.markStale()
	case u.queued == nil:
		u.queued = &hintQueue{[]Hint{h}, time.Now()}
	default:
		u.queued.hints = append(u.queued.hints, h)
	}
}

// takeHints hands the committer the hints.
func (u *upkeep) takeHints() (hints []Hint) {
	if u.queued != nil {
		hints, u.queued = u.queued.hints, nil
	}
	return hints
}

// takeStale reports whether the committer is to repair the topic now, which is in
// sync afterwards unless it says otherwise.
func (u *upkeep) takeStale(followed bool) bool {
	if u.state != stale || !followed {
		return false
	}
	u.state = inSync
	return true
}

// due reports whether somebody has to look.
func (u *upkeep) due(followed bool) bool {
	return u.queued != nil || u.state == stale && followed
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
func (r *liveRoom) note(event func(*upkeep)) (busy bool) {
	leave := r.srv.inUse.Enter() // else nobody is here any more
	r.mu.Lock()
	event(&r.upkeep)
	busy = leave && r.upkeep.due(r.followed())
	run := leave && r.upkeep.start(r.followed())
	r.mu.Unlock()
	if run {
		r.hold()
		r.srv.workers.commits.Run(repairer{r})
	} else if leave {
		r.srv.inUse.Leave()
	}
	return busy
}

// followed reports whether anybody follows the room on this server.
func (r *liveRoom) followed() bool { return r.Topic.Len() > 0 }

// wakeCommitter has what is due looked after, now that somebody follows the room.
func (r *liveRoom) wakeCommitter() { r.note(func(*upkeep) {}) }

// markStale has somebody look whether the log holds what the topic does not.
func (r *liveRoom) markStale() { r.note((*upkeep).markStale) }

// repairer is a committer that nobody's commit has called for.
type repairer struct{ *liveRoom }

func (p repairer) Work() {
	defer p.srv.inUse.Leave()
	defer p.release()
	p.commitGroup()
}
