package hub

import "slices"

// A log can go on under another epoch, because its store has come back as it
// was earlier and is written to past that place. Up to there both epochs have
// their positions in common: cursors that stand there go on, and those above
// start over. The topic goes over by Turn, and nothing else changes its epoch;
// a cursor goes over when it is served next.

// Turn says how a log goes on under another epoch.
type Turn struct {
	From, To string
	// Good: positions of From up to here are positions of To as well. -1: none
	// is known to be, and the Log is asked about each cursor.
	Good int64
	Head int64 // the end of the log in To
	Seen int64 // the newest position of From that anybody has seen, 0 if that is the topic
}

// maxEras is how many epochs a topic knows beside its own.
const maxEras = 32

// eras are the epochs that a topic knows beside its own, the latest last.
type eras struct {
	last generation // the newest that has been given to an epoch
	list []era
}

// era is an epoch that is not the topic's, whose cursors may still be there.
type era struct {
	epoch string
	gen   generation
	// good: its positions up to here are the topic's as well; or unknown, which
	// the Log is asked; or none.
	good int64
	// lost: positions above good had been seen. A cursor on its way there may
	// lack what had been folded into one of them.
	lost bool
}

const none = -2

// find returns the era, nil if it is not known.
func (e *eras) find(is func(*era) bool) *era {
	if e != nil {
		for i := range e.list {
			if is(&e.list[i]) {
				return &e.list[i]
			}
		}
	}
	return nil
}

func (e *eras) named(epoch string) *era { return e.find(func(e *era) bool { return e.epoch == epoch }) }
func (e *eras) of(gen generation) *era  { return e.find(func(e *era) bool { return e.gen == gen }) }

// add remembers a further era, in place of the oldest where there are many.
func (e *eras) add(era era) {
	if len(e.list) == maxEras {
		e.list = slices.Delete(e.list, 0, 1)
	}
	e.list = append(e.list, era)
}

// generationOf returns the generation of an epoch. The lock is held.
func (t *Topic) generationOf(epoch string) generation {
	if epoch == t.epoch {
		return t.generation()
	}
	// Whoever comes now is none of those who cannot be told apart.
	if e := t.eras.find(func(e *era) bool { return e.epoch == epoch && e.good != none }); e != nil {
		return e.gen
	}
	if t.eras == nil {
		t.eras = &eras{last: t.generation()}
	}
	t.eras.last++
	t.eras.add(era{epoch: epoch, gen: t.eras.last, good: unknown})
	return t.eras.last
}

// Turn has the topic go over into another epoch of its log, if it is in
// turn.From; the caller has seen it there before it read the log, or else it
// may have seen an older log than the topic. Cursors that cannot go on start
// over. Turn reports whether the topic has gone over.
func (t *Topic) Turn(turn Turn) bool {
	t.mu.Lock()
	if t.head == unknown || t.epoch != turn.From || turn.To == turn.From {
		t.mu.Unlock()
		return false
	}
	gen := t.generationOf(turn.To)
	t.eras.list = slices.DeleteFunc(t.eras.list, func(e era) bool { return e.gen == gen })
	lost := max(t.head, turn.Seen) > turn.Good
	good := turn.Good
	if good >= 0 && lost && t.folded > good {
		good = none // who is within that page cannot be told from who is not
	}
	for i := range t.eras.list {
		if e := &t.eras.list[i]; e.good != unknown {
			e.good, e.lost = min(e.good, good), e.lost || lost
		}
	}
	t.eras.add(era{epoch: turn.From, gen: t.generation(), good: good, lost: lost})
	t.epoch = turn.To
	switch {
	case turn.Good < 0:
		t.forget()
		t.head = turn.Head
	case t.head > turn.Good:
		t.forget()
		t.head = turn.Good
	}
	t.folded = 0
	t.gen.Store(uint32(gen))
	t.mu.Unlock()
	t.schedule()
	return true
}

// carry has a cursor go over into the topic's epoch, where that is known to be
// right. The members' lock is held.
func (t *Topic) carry(s *Sub) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.eras.of(s.gen)
	if e == nil || s.cursor > e.good || e.lost && s.flags&lagging != 0 {
		return false
	}
	s.gen = t.generation()
	s.flags |= foreign
	if s.flags&lagging == 0 {
		s.flags |= turned
	}
	return true
}

// origin returns the epoch of a cursor that is to be served from the Log, ""
// where it cannot go on.
func (t *Topic) origin(s *Sub) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.gen == t.generation() {
		return t.epoch
	}
	e := t.eras.of(s.gen)
	if e == nil || e.good != unknown {
		return ""
	}
	return e.epoch
}

// current returns the topic's epoch and its generation.
func (t *Topic) current() (epoch string, gen generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch, t.generation()
}
