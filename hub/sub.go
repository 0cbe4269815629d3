package hub

// Sub is a subscription: a sink's cursor into a topic. The zero value is
// detached; it may be embedded. Its owner calls Attach once and Detach once.
type Sub struct {
	topic *Topic
	sink  Sink

	// Guarded by the lock of the members list it is in.
	cursor int64
	index  int32 // in members.subs; -1: detached
	gen    generation
	flags  flags
	lane   uint8 // of the list; never changes
}

type flags uint8

const (
	attached flags = 1 << iota
	blocked        // the sink has refused; its owner will call Wake
	filling        // a page is being read, or will be when it is the cursor's turn
	lagging        // has to be told when it has reached the head
	foreign        // the cursor comes from outside: see entry.after
	packs          // the sink takes packed frames
	turned         // has to be told in which epoch its cursor is now
	partial        // what it has been sent leaves out what changed again beyond its cursor
)

// Topic returns what the subscription was attached to, nil before Attach.
func (s *Sub) Topic() *Topic { return s.topic }

// Attach subscribes the sink to the topic from a cursor of the given epoch:
// the first frame it is offered is the first change above the cursor, or one
// that says that the log has another epoch now. With resume, the sink is told
// with a synced frame when the cursor has reached the head. head is the newest
// position of the log that the caller has seen.
//
// The topic must have been made before head was read from the store; then no
// change in between can be missed.
func (t *Topic) Attach(s *Sub, sink Sink, epoch string, cursor, head int64, resume bool) {
	lane := sink.Lane() % len(t.hub.lanes)
	m := t.list(lane)
	m.mu.Lock()
	s.lane = m.lane
	t.mu.Lock()
	switch {
	case t.head == unknown:
		t.epoch, t.head = epoch, head
	case t.subs.Load() == 0 && t.epoch == epoch && t.head < head:
		// Nobody was here to be told, so nobody has told the topic.
		t.forget()
		t.head = head
	}
	gen := t.generationOf(epoch)
	behind, at := cursor < t.head, cursor == t.head
	t.mu.Unlock()
	s.topic, s.sink, s.cursor, s.gen = t, sink, cursor, gen
	s.index = int32(len(m.subs))
	s.flags = attached
	stale := gen != t.generation()
	if stale {
		t.carry(s) // with nothing sent yet, it lacks nothing
	}
	if !at || stale {
		s.flags |= foreign
	}
	if resume {
		s.flags = s.flags&^turned | lagging
	}
	if t.hub.opt.Pack != nil {
		if p, ok := sink.(Packer); ok && p.Packs() {
			s.flags |= packs
		}
	}
	m.subs = append(m.subs, s)
	t.subs.Add(1)
	m.mu.Unlock()
	if behind || resume || stale {
		t.hub.lanes[m.lane].wakeUp(s)
	}
}

// Detach ends the subscription. When it has returned, the sink is offered
// nothing more of the topic. It may be called more than once.
func (s *Sub) Detach() {
	t := s.topic
	if t == nil {
		return
	}
	m := s.list()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.flags&attached == 0 {
		return
	}
	last := len(m.subs) - 1
	// Walks go from the end to the start, so what moves here from the end has
	// been visited.
	moved := m.subs[last]
	m.subs[s.index] = moved
	moved.index = s.index
	m.subs[last] = nil
	m.subs = m.subs[:last]
	if last == 0 {
		m.subs, m.waiting = nil, nil
	}
	s.index, s.flags = -1, 0
	t.subs.Add(-1)
	t.hub.fills.pass(s)
}

// Wake tells the hub that the subscription's sink, which had refused frames,
// can take more.
func (s *Sub) Wake() {
	if s.topic != nil {
		s.topic.hub.lanes[s.lane].wakeUp(s)
	}
}

// Cursor returns how far the subscription has been sent.
func (s *Sub) Cursor() int64 {
	if s.topic == nil {
		return 0
	}
	m := s.list()
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.cursor
}

// list is where the subscription is a member.
func (s *Sub) list() *members {
	t := s.topic
	if s.lane == t.home.lane {
		return &t.home
	}
	return &(*t.wide.Load())[s.lane]
}
