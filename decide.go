package chat

import (
	"strings"
	"time"

	"github.com/gabblehq/chat/storage"
)

// decision is what changes to a room lead to: which records they look at, and
// what becomes of these. It is pure but for its results, which are those of the
// last call.
type decision struct {
	changes []Change
	results []Result
	damaged func(*storage.Record, error) // told of records that cannot be read

	exists bool
	room   string         // its id
	states []state        // of the records that have been looked at
	places map[string]int // of states by key, where there are many
	writes []storage.Write
	wrote  []int // of each change, its first write, or -1
	rests  []int // of each change, the write that has made what it answers, or -1
	again  []int // changes whose nonces have led to messages that have not been looked at
}

// state is a record as the changes so far leave it.
type state struct {
	key   string
	rec   *storage.Record // as it was before all of them; nil: not there
	body  []byte
	at    time.Time // of what is new
	like  string
	write int // that has made it so, or -1
}

// tx is the transaction that applies the changes, together, each to what the
// one before has left.
func (d *decision) tx() storage.Tx {
	tx := storage.Tx{Reads: []string{settingsKey}, Decide: d.decide}
	for i := range d.changes {
		switch c := &d.changes[i]; c.Kind {
		case ChangeCreateRoom:
			tx.Make = true
		case ChangeCreate:
			tx.Absent = append(tx.Absent, messageKey(c.Message.ID))
			if c.Message.Nonce != "" {
				tx.Absent = append(tx.Absent, nonceKey(c.Message.User, c.Message.Nonce))
			}
		case ChangeEdit, ChangeDelete:
			tx.Reads = append(tx.Reads, messageKey(c.Message.ID))
		}
	}
	return tx
}

func (d *decision) decide(v storage.View) []storage.Write {
	n := len(d.changes)
	d.exists = v.Exists
	d.states, d.places = make([]state, 0, len(v.Records)+2*n), nil
	for i := range v.Records {
		rec := &v.Records[i]
		d.add(state{key: rec.Key, rec: rec, body: rec.Body, write: -1})
	}
	if st := d.state(settingsKey); st != nil {
		d.room = readRoom(st.rec, d.damaged).ID
	}
	d.writes, d.results = make([]storage.Write, 0, 2*n), make([]Result, n)
	d.wrote, d.rests, d.again = make([]int, n), make([]int, n), nil
	for i := range d.changes {
		c, res := &d.changes[i], &d.results[i]
		before := len(d.writes)
		d.rests[i] = -1
		switch {
		case c.Kind == ChangeCreateRoom:
			d.createRoom(i)
		case !d.exists:
			res.Err = errNoSuchRoom
		case c.Kind == ChangeUpdateRoom:
			d.updateRoom(i)
		case c.Kind == ChangeCreate:
			d.create(i)
		case c.Kind == ChangeEdit:
			d.edit(i)
		case c.Kind == ChangeDelete:
			d.delete(i)
		default:
			res.Err = &Error{Code: CodeInvalid, Message: "not a kind of change"}
		}
		if d.wrote[i] = -1; len(d.writes) > before {
			d.wrote[i], d.rests[i] = before, before
		}
	}
	return d.writes
}

var (
	errNoSuchRoom    = &Error{Code: CodeNotFound, Message: "no such room"}
	errNoSuchMessage = &Error{Code: CodeNotFound, Message: "no such message"}
	errRoomThere     = &Error{Code: CodeConflict, Message: "the room exists already"}
	errIDTaken       = &Error{Code: CodeConflict, Message: "a message has this id already", Field: "id"}
	errDamaged       = &Error{Code: CodeInternal, Message: "the stored message is damaged; it can only be deleted"}
)

// few is how many records are looked through one by one.
const few = 8

func (d *decision) add(st state) {
	d.states = append(d.states, st)
	switch n := len(d.states); {
	case n <= few:
	case d.places == nil:
		d.places = make(map[string]int, cap(d.states))
		for i := range d.states {
			d.places[d.states[i].key] = i
		}
	default:
		d.places[st.key] = n - 1
	}
}

// state returns nil for a record that is not there.
func (d *decision) state(key string) *state {
	if d.places != nil {
		if i, ok := d.places[key]; ok {
			return &d.states[i]
		}
		return nil
	}
	for i := range d.states {
		if d.states[i].key == key {
			return &d.states[i]
		}
	}
	return nil
}

func (d *decision) write(w storage.Write) {
	if st := d.state(w.Key); st != nil {
		st.body, st.write = w.Body, len(d.writes)
	} else {
		d.add(state{key: w.Key, body: w.Body, at: w.At, like: w.Like, write: len(d.writes)})
	}
	d.writes = append(d.writes, w)
}

func (d *decision) createRoom(i int) {
	c, res := &d.changes[i], &d.results[i]
	if d.exists {
		res.Err, res.Room = errRoomThere, d.settings(i)
		return
	}
	d.exists, d.room = true, c.Room.ID
	res.Room = c.Room
	res.Room.CreatedAt = stamp(c.At)
	d.writeSettings(&res.Room, res.Room.CreatedAt)
}

func (d *decision) updateRoom(i int) {
	c, res := &d.changes[i], &d.results[i]
	info, changed := c.UpdateRoom(d.settings(i))
	if res.Room = info; !changed {
		res.Unchanged = true
		return
	}
	d.writeSettings(&res.Room, time.Time{})
}

func (d *decision) writeSettings(info *RoomInfo, at time.Time) {
	d.write(storage.Write{Key: settingsKey, Body: settingsBody(info), Logged: true, At: at})
}

// record returns a record as the changes before i leave it, with the revs and
// places that it had before all of them, nil if it is not there.
func (d *decision) record(i int, key string) *storage.Record {
	st := d.state(key)
	if st == nil {
		return nil
	}
	d.rests[i] = st.write
	if st.rec == nil {
		return &storage.Record{Key: key, Body: st.body, At: st.at, Like: st.like}
	}
	rec := *st.rec
	rec.Body = st.body
	return &rec
}

func (d *decision) settings(i int) RoomInfo {
	rec := d.record(i, settingsKey)
	if rec == nil {
		return RoomInfo{}
	}
	return readRoom(rec, d.damaged)
}

func (d *decision) create(i int) {
	c, res := &d.changes[i], &d.results[i]
	nonce := ""
	if c.Message.Nonce != "" {
		nonce = nonceKey(c.Message.User, c.Message.Nonce)
		if rec := d.record(i, nonce); rec != nil {
			d.repeat(i, rec)
			return
		}
	}
	key := messageKey(c.Message.ID)
	if d.state(key) != nil {
		res.Err = errIDTaken
		return
	}
	m := c.Message
	m.CreatedAt, m.EditedAt, m.DeletedAt = stamp(c.At), time.Time{}, time.Time{}
	res.Message = m
	d.write(storage.Write{Key: key, Body: messageBody(&m), Logged: true, Lists: mainList, At: m.CreatedAt})
	if nonce != "" {
		d.write(storage.Write{Key: nonce, Body: nothing, Like: key, Keep: NonceTTL})
	}
}

var (
	mainList = []string{storage.Main}
	nothing  = []byte("{}")
)

// repeat answers a nonce that is known: with the message, if one of these
// changes has made it, else with what the nonce's record tells of it.
func (d *decision) repeat(i int, rec *storage.Record) {
	c, res := &d.changes[i], &d.results[i]
	res.Duplicate = true
	res.Message = Message{
		ID: strings.TrimPrefix(rec.Like, messages), Seq: rec.Seq(storage.Main), Rev: rec.FirstRev, FirstRev: rec.FirstRev,
		User: c.Message.User, Nonce: c.Message.Nonce, CreatedAt: rec.At,
	}
	if made := d.record(i, rec.Like); made != nil {
		res.Message, _ = readMessage(made, d.damaged)
	} else {
		d.again = append(d.again, i)
	}
}

func (d *decision) edit(i int) {
	c, res := &d.changes[i], &d.results[i]
	rec := d.record(i, messageKey(c.Message.ID))
	if rec == nil {
		res.Err = errNoSuchMessage
		return
	}
	was, sound := readMessage(rec, d.damaged)
	if !sound {
		res.Err = errDamaged
		return
	}
	if was.Deleted() {
		res.Err = errNoSuchMessage
		return
	}
	m, changed, err := c.Edit(was)
	if err != nil {
		res.Err = err
		return
	}
	d.change(i, m, changed)
}

func (d *decision) delete(i int) {
	c, res := &d.changes[i], &d.results[i]
	rec := d.record(i, messageKey(c.Message.ID))
	if rec == nil {
		res.Err = errNoSuchMessage
		return
	}
	was, sound := readMessage(rec, d.damaged)
	if !sound {
		was.DeletedAt = time.Time{} // it is made one that is
	}
	m, changed := c.Delete(was)
	d.change(i, m, changed)
}

func (d *decision) change(i int, m Message, changed bool) {
	d.results[i].Message = m
	if !changed {
		d.results[i].Unchanged = true
		return
	}
	d.write(storage.Write{Key: messageKey(m.ID), Body: messageBody(&m), Logged: true})
}

// settle fills in the positions that the store has given out.
func (d *decision) settle(out storage.Outcome) {
	at := out.Head
	for i := range d.writes {
		at.Rev -= count(d.writes[i].Logged)
		at.Seq -= count(len(d.writes[i].Lists) > 0)
	}
	for i := range d.results {
		res := &d.results[i]
		if n := d.rests[i]; n >= 0 {
			w := &out.Writes[n]
			if d.changes[i].Kind <= ChangeUpdateRoom {
				res.Room.Rev = w.Rev
			} else if res.Err == nil {
				res.Message.Rev, res.Message.FirstRev, res.Message.Seq = w.Rev, w.FirstRev, seqOf(w.Places)
			}
		}
		if n := d.wrote[i]; n >= 0 {
			at.Rev = out.Writes[n].Rev
			at.Seq += count(d.changes[i].Kind == ChangeCreate)
		}
		if d.exists && res.Err != error(errNoSuchRoom) {
			res.Position = Position(at)
		}
		if res.Message.ID != "" {
			res.Message.Room = d.room
		}
	}
}

func seqOf(places []storage.Place) int64 {
	rec := storage.Record{Places: places}
	return rec.Seq(storage.Main)
}

func count(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
