package hub

import "time"

// wake serves a subscription whose sink can take more.
func (l *walker) wake(s *Sub) {
	defer l.hub.rescue("a lane")
	t := s.topic
	m := s.list()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.flags&attached == 0 {
		return
	}
	s.flags &^= blocked
	if s.flags&filling != 0 && l.hub.fills.granted(s) {
		s.flags &^= filling
	}
	defer l.pass(s)
	l.serve(t, s)
}

// pass lets another cursor of the sink have pages read, if this one needs none:
// one that is blocked goes on when the sink can take more.
func (l *walker) pass(s *Sub) {
	if s.flags&(filling|blocked) == 0 {
		l.hub.fills.pass(s)
	}
}

// serve gives a subscription by itself what it lacks, as far as the sink
// takes it, and returns how many writes it made. The members' lock is held.
func (l *walker) serve(t *Topic, s *Sub) (writes int) {
	for s.flags&(blocked|filling) == 0 {
		if s.gen != t.generation() && !t.carry(s) {
			l.fill(t, s)
			return writes
		}
		if s.flags&turned != 0 {
			writes += l.tell(t, s, s.cursor, turned)
			continue
		}
		if writes >= turn { // far behind: others have their turn
			l.hub.lanes[s.lane].wakeUp(s)
			return writes
		}
		_, goal := t.Head()
		b := &l.solo
		t.collect(b, s, goal, nil)
		if b.gen != s.gen {
			continue
		}
		if b.inside {
			s.flags &^= foreign
		}
		switch b.status {
		case outside:
			l.fill(t, s)
		case ready:
			l.write(s, b)
			writes++
		case current:
			if s.flags&partial != 0 { // the log is ahead of the topic
				b.release()
				l.fill(t, s)
				continue
			}
			if s.flags&lagging == 0 {
				b.release()
				return writes
			}
			writes += l.tell(t, s, max(s.cursor, goal), lagging)
		}
		b.release()
	}
	return writes
}

// tell writes a synced frame, and clears what the subscription is told by it.
// It returns how many writes it made: none where the log has another epoch by
// now.
func (l *walker) tell(t *Topic, s *Sub, rev int64, what flags) int {
	epoch, gen := t.current()
	if gen != s.gen {
		return 0
	}
	frame := t.synced(epoch, rev)
	if frame == nil {
		s.flags &^= what
		return 0
	}
	b := &l.solo
	b.signals([][]byte{frame})
	l.write(s, b)
	b.release()
	if s.flags&blocked == 0 {
		s.flags &^= what
	}
	return 1
}

// fill asks for the page that follows a cursor outside of the ring.
func (l *walker) fill(t *Topic, s *Sub) {
	if s.flags&filling != 0 {
		return
	}
	s.flags |= filling | lagging
	l.hub.fills.request(t, s)
}

// receive gives a subscription the page that it has waited for.
func (l *walker) receive(r result) {
	defer r.group.offered()
	defer l.hub.rescue("a lane")
	s := r.sub
	m := s.list()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.flags&filling == 0 { // detached meanwhile
		return
	}
	s.flags &^= filling
	if r.err != nil {
		l.hub.fills.pass(s)
		s.flags |= blocked // until the retry wakes it
		return
	}
	defer l.pass(s)
	l.take(s, r.page)
}

// take sends a subscription the page that it has waited for, as far as the sink
// takes it. The members' lock is held.
func (l *walker) take(s *Sub, p *sharedPage) {
	t := s.topic
	if s.flags&blocked != 0 {
		return // a signal was refused: Wake will have the page read again
	}
	epoch, gen := t.current()
	if epoch != p.Epoch {
		l.serve(t, s) // the log has another epoch since the page was read
		return
	}
	if !p.Reset && s.gen != gen {
		if !t.carry(s) && t.origin(s) == "" {
			l.serve(t, s)
			return
		}
		s.gen = gen // the Log says that it goes on there
	}
	s.flags |= foreign // wherever in the page the cursor comes to stand
	if !p.Reset {
		s.flags |= partial // until it has been sent all of the last page
	}
	batches := p.batchesFor(s)
	for i := range batches {
		l.write(s, &batches[i])
		if s.flags&blocked != 0 {
			return // what is left is read again from where the cursor stands
		}
	}
	if _, head := t.Head(); !p.Reset && len(p.Frames) == 0 && p.Through <= s.cursor && s.cursor < max(head, p.Head) {
		// The log says that there is nothing where the topic has seen
		// something: it lags behind itself, or has been rolled back. Asking
		// again at once would be asking without end.
		l.hub.fills.pass(s)
		s.flags |= blocked
		time.AfterFunc(retryAfter, s.Wake)
		return
	}
	if p.Reset {
		s.cursor, s.gen = p.Through, gen
		s.flags &^= lagging | turned | partial
		l.hub.fills.resets.Add(1)
	} else {
		s.cursor = max(s.cursor, p.Through)
		if p.Through >= p.Head {
			s.flags &^= partial
		}
	}
	l.serve(t, s)
}
