package chat

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat/internal/wire"
)

// cluster is a server's part in a group of servers that share a store. The
// store is the truth; what the servers tell each other are hints, and whatever
// may have been missed is compared with the store.
type cluster struct {
	srv     *Server
	watcher Watcher
	node    string // this server's id among the others

	attendance *attendance   // nil: the store keeps no presence
	control    chan struct{} // something may be in the control log
	signals    chan outSignal

	mu      sync.Mutex
	missed  []func(room string) bool // what is to be compared
	all     bool                     // everything is
	compare chan struct{}            // missed or all has been set

	wg sync.WaitGroup
}

// outSignal is a signal on its way to the other servers.
type outSignal struct {
	room string
	data []byte
}

const (
	// headsAtOnce is how many rooms are compared in one call.
	headsAtOnce = 256
	// presenceAtOnce is of how many it is read who is there, and breather how
	// long the store is left to others in between.
	presenceAtOnce = 32
	breather       = 2 * time.Millisecond
	// maxHints is how many hints a room keeps that it has not heeded: beyond
	// that, reading the store is the shorter way.
	maxHints = 64
	// watchAgain is how long a Watch that has failed is left alone.
	watchAgain = time.Second
)

// newCluster returns nil where nobody shares the store.
func newCluster(s *Server) *cluster {
	w, ok := capability[Watcher](s.opt.Store)
	if !ok {
		return nil
	}
	c := &cluster{
		srv: s, watcher: w, node: s.name("n", s.ids.Add(1)),
		control: make(chan struct{}, 1), compare: make(chan struct{}, 1), signals: make(chan outSignal, 1024),
	}
	if p, ok := capability[PresenceKeeper](s.opt.Store); ok {
		c.attendance = newAttendance(c, p)
	}
	return c
}

// run starts the goroutines; they end with the server's context.
func (c *cluster) run() {
	orders := c.srv.acquire(controlRoom)
	// Before there are sessions, so that no order about one is overlooked.
	at, err := orders.controlHead()
	loops := []func(){c.watch, c.compareLoop, c.signalLoop, func() { c.controlLoop(orders, at, err == nil) }}
	if c.attendance != nil {
		loops = append(loops, c.attendance.run)
	}
	for _, loop := range loops {
		c.wg.Add(1)
		go func() {
			defer c.wg.Done()
			loop()
		}()
	}
}

// watch listens for as long as the server lives.
func (c *cluster) watch() {
	ctx := c.srv.ctx
	for ctx.Err() == nil {
		err := guard(func() error { return c.watcher.Watch(ctx, c) })
		if ctx.Err() != nil {
			return
		}
		c.srv.log.Error("chat: not told what other servers do", "error", err)
		pause(ctx, watchAgain)
	}
}

// leave lets the lease run out: by then, who was here is somewhere else.
func (c *cluster) leave() {
	if c.attendance == nil {
		return
	}
	close(c.attendance.leave)
	<-c.attendance.left
	l := &c.srv.opt.Limits
	_ = c.srv.callStore(c.srv.ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_, _, err := c.attendance.keeper.Attend(ctx, c.node, min(l.LeaveGrace, leaseFor), nil)
		return err
	})
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// poke makes sure that whoever reads from ch does so once more.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// room returns the id of the room that a key of the store names, if it is one
// of this server's tenant.
func (s *Server) roomOf(key string) (id string, ok bool) {
	id, ok = strings.CutPrefix(key, s.key(""))
	return id, ok && !strings.Contains(id, "/")
}

// Appended implements [Listener].
func (c *cluster) Appended(h Hint) {
	id, ok := c.srv.roomOf(h.Room)
	if !ok {
		return
	}
	if id == controlRoom {
		poke(c.control)
		return
	}
	if r := c.srv.peek(id); r != nil {
		r.hear(h)
		r.release()
	}
}

// Present implements [Listener].
func (c *cluster) Present(room string, changes []Attendance) {
	id, ok := c.srv.roomOf(room)
	if !ok || c.attendance == nil {
		return
	}
	if r := c.srv.peek(id); r != nil {
		r.present(changes)
		r.release()
	}
	c.attendance.heard(changes) // after they are on the list: see bury
}

// Missed implements [Listener].
func (c *cluster) Missed(covers func(room string) bool) {
	c.mu.Lock()
	if covers == nil || len(c.missed) > 1024 {
		c.all, c.missed = true, nil
	} else if !c.all {
		c.missed = append(c.missed, covers)
	}
	c.mu.Unlock()
	poke(c.compare)
}

// clusterSignal is what servers signal to each other about a room.
type clusterSignal struct {
	Node   string    `json:"node"`
	Type   string    `json:"type"` // "typing"
	User   wire.User `json:"user"`
	Active bool      `json:"active,omitempty"`
}

// Signal implements [Listener].
func (c *cluster) Signal(room string, data []byte) {
	id, ok := c.srv.roomOf(room)
	if !ok {
		return
	}
	r := c.srv.peek(id)
	if r == nil {
		return
	}
	defer r.release()
	var sig clusterSignal
	if err := json.Unmarshal(data, &sig); err != nil || sig.Node == c.node || sig.User.ID == "" {
		return // our own, or of a server that knows more than we do
	}
	if sig.Type == string(CmdTyping) {
		r.typed(&User{ID: sig.User.ID, Name: sig.User.Name, Avatar: sig.User.Avatar}, sig.Active)
	}
}

// relay tells the other servers that a user is typing. Under pressure it does
// not.
func (c *cluster) relay(room string, who *User, active bool) {
	data, err := json.Marshal(clusterSignal{Node: c.node, Type: string(CmdTyping), User: public(who), Active: active})
	if err != nil {
		return
	}
	select {
	case c.signals <- outSignal{c.srv.key(room), data}:
	default:
	}
}

func (c *cluster) signalLoop() {
	for {
		select {
		case sig := <-c.signals:
			// Not told: it would have been of use for a few seconds.
			_ = c.srv.callStore(c.srv.ctx, func(ctx context.Context) error {
				return c.watcher.Signal(ctx, sig.room, sig.data)
			})
		case <-c.srv.ctx.Done():
			return
		}
	}
}

// compareLoop compares rooms that may have missed something with the store.
func (c *cluster) compareLoop() {
	ctx := c.srv.ctx
	for {
		select {
		case <-c.compare:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		all, missed := c.all, c.missed
		c.all, c.missed = false, nil
		c.mu.Unlock()
		covers := func(key string) bool {
			for _, f := range missed {
				if f(key) {
					return true
				}
			}
			return all
		}
		if covers(c.srv.key(controlRoom)) {
			poke(c.control)
		}
		if err := c.compareRooms(covers); err != nil && ctx.Err() == nil {
			if !c.srv.health.down() { // which has been said
				c.srv.log.Warn("chat: rooms not compared with the store", "error", err)
			}
			pause(ctx, doubtFor)
			c.again(all, missed)
		}
	}
}

// again has the rooms of a comparison that has failed compared once more.
func (c *cluster) again(all bool, missed []func(room string) bool) {
	if all {
		c.Missed(nil)
	}
	for _, covers := range missed {
		c.Missed(covers)
	}
}

// compareRooms compares logs first, and then who is there.
func (c *cluster) compareRooms(covers func(key string) bool) error {
	var rooms []*liveRoom
	defer func() {
		for _, r := range rooms {
			r.release()
		}
	}()
	for r := range c.srv.rooms.each {
		switch {
		case !covers(r.key()):
			r.release()
		case r.Topic.Len() == 0:
			r.outdate()
			r.release()
		default:
			rooms = append(rooms, r)
		}
	}
	for batch := range slices.Chunk(rooms, headsAtOnce) {
		if err := c.compareBatch(batch); err != nil {
			return err
		}
	}
	if c.attendance == nil {
		return nil
	}
	for batch := range slices.Chunk(rooms, presenceAtOnce) {
		if err := c.attendance.read(c.srv.ctx, batch); err != nil {
			return err
		}
		pause(c.srv.ctx, breather) // others have use for the store, too
	}
	return nil
}

// outdate has whoever comes to the room find out how things are.
func (r *liveRoom) outdate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsure, r.putOff = true, false
	if r.others != nil {
		r.others.known = false
	}
}

// compareBatch has those rooms catch up whose log does not end where their
// topic does.
func (c *cluster) compareBatch(rooms []*liveRoom) error {
	type end struct {
		epoch string
		rev   int64
	}
	seen := make([]end, len(rooms)) // before the store is asked: it may only be ahead
	for i, r := range rooms {
		seen[i].epoch, seen[i].rev = r.Topic.Head()
	}
	heads, err := c.heads(c.srv.ctx, rooms)
	if err != nil {
		return err
	}
	for i, r := range rooms {
		same := heads[i].Epoch == seen[i].epoch && heads[i].Rev == seen[i].rev
		r.mu.Lock()
		r.unsure, r.putOff = r.unsure || !same, false
		r.mu.Unlock()
		r.nudge()
	}
	return nil
}

// heads reads where the logs of rooms end.
func (c *cluster) heads(ctx context.Context, rooms []*liveRoom) (heads []Position, err error) {
	keys := make([]string, len(rooms))
	for i, r := range rooms {
		keys[i] = r.key()
	}
	err = c.srv.callStore(ctx, func(ctx context.Context) error {
		heads, err = c.watcher.Heads(ctx, keys)
		if err == nil && len(heads) != len(keys) {
			err = Errorf(CodeInternal, "the store answered %d rooms with %d heads", len(keys), len(heads))
		}
		return err
	})
	return heads, err
}

// hear takes a hint and has a committer heed it, unless it says what is known.
func (r *liveRoom) hear(h Hint) {
	epoch, head := r.Topic.Head()
	if h.Head.Epoch == epoch && h.Head.Rev >= 0 && h.Head.Rev <= head {
		return // our own doing, mostly
	}
	r.mu.Lock()
	switch {
	case r.Topic.Len() == 0 || len(r.far().hints) == maxHints:
		r.unsure, r.putOff, r.far().hints = true, false, nil
	default:
		r.others.hints = append(r.others.hints, h)
	}
	r.mu.Unlock()
	if r.Topic.Len() > 0 {
		r.nudge()
	}
}

// heed gives the topic what hints have brought, and notes a doubt where they
// have not brought enough. The caller is the room's committer.
func (r *liveRoom) heed() {
	r.mu.Lock()
	var hints []Hint
	if r.others != nil {
		hints, r.others.hints = r.others.hints, nil
	}
	r.mu.Unlock()
	for i := range hints {
		epoch, head := r.Topic.Head()
		h := &hints[i]
		if h.Head.Epoch == epoch && h.Head.Rev >= 0 && h.Head.Rev <= head {
			continue
		}
		if h.Head.Rev < 0 || h.Head.Epoch != epoch || h.Entries == nil || h.After > head || !r.take(h) {
			r.doubt()
			return // what follows comes with the page
		}
	}
}

// take makes frames of what a hint has brought. It reports false where the
// store has to be asked.
func (r *liveRoom) take(h *Hint) bool {
	var entries []Entry
	err := guard(func() (err error) {
		entries, err = h.Entries()
		return err
	})
	if err != nil {
		return false
	}
	var info *RoomInfo
	for i := range entries {
		if entries[i].Room != nil {
			info = entries[i].Room
		}
	}
	r.learn(h.Head, info)
	r.spoken(entries)
	return r.Topic.Append(h.Head.Epoch, h.After, h.Head.Rev, false, r.stepFrames(r.srv.ctx, entries))
}

// head asks the store where the room's log ends.
func (r *liveRoom) head() (at Position, err error) {
	err = r.srv.callStore(r.srv.ctx, func(ctx context.Context) error {
		at, err = r.srv.opt.Store.Head(ctx, r.key())
		return err
	})
	return at, err
}

// each calls yield with every live room, which the callee releases.
func (t *roomTable) each(yield func(*liveRoom) bool) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		list := make([]*liveRoom, 0, len(sh.rooms))
		for _, r := range sh.rooms {
			r.refs++
			list = append(list, r)
		}
		sh.mu.Unlock()
		for j, r := range list {
			if !yield(r) {
				for _, rest := range list[j+1:] {
					rest.release()
				}
				return
			}
		}
	}
}
