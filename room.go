package chat

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"time"

	"github.com/gabblehq/chat/hub"
	"github.com/gabblehq/chat/internal/wire"
)

// Room is a handle of one room of a Server, for host code. It does what
// clients can do, without middleware and without asking Authorize. All methods
// are safe for concurrent use; their errors are *Error, or ErrServerClosed.
type Room struct {
	srv   *Server
	id    string
	peers []string // of a direct room
}

// ID returns the room's id.
func (r *Room) ID() string { return r.id }

// use acquires the live room for one operation.
func (r *Room) use() (*liveRoom, func(), error) {
	if !ValidRoomID(r.id) {
		return nil, nil, (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("room")
	}
	if !r.srv.inUse.Enter() {
		return nil, nil, ErrServerClosed
	}
	live := r.srv.acquire(r.id)
	return live, func() {
		live.release()
		r.srv.inUse.Leave()
	}, nil
}

// Create makes the room with these settings; of info the fields Title, Topic,
// Avatar, Meta and CreatedBy count, and Kind, which is public where it is
// empty. A handle from Server.Direct makes the direct room of the two. A room
// that exists is ErrConflict.
func (r *Room) Create(ctx context.Context, info RoomInfo) (RoomInfo, error) {
	live, done, err := r.use()
	if err != nil {
		return RoomInfo{}, err
	}
	defer done()
	return live.create(ctx, info, r.peers, "")
}

func (r *liveRoom) create(ctx context.Context, info RoomInfo, peers []string, trace string) (RoomInfo, error) {
	info.ID, info.Peers = r.id, peers
	switch {
	case len(peers) > 0:
		info.Kind = RoomDirect
	case reserved(r.id):
		return RoomInfo{}, errReserved
	case info.Kind == "":
		info.Kind = RoomPublic
	case info.Kind != RoomPublic:
		return RoomInfo{}, (&Error{Code: CodeInvalid, Message: "a room that is made by its id is public"}).WithField("kind")
	}
	for _, id := range peers {
		if !wire.ValidUserID(id) {
			return RoomInfo{}, &Error{Code: CodeInvalid, Message: "not a user id", Field: "user"}
		}
	}
	if info.CreatedBy != "" && !wire.ValidUserID(info.CreatedBy) {
		return RoomInfo{}, &Error{Code: CodeInvalid, Message: "not a user id", Field: "created_by"}
	}
	err := checkRoomTexts(info.Title, info.Topic, info.Avatar)
	if err == nil {
		err = checkLook(info.Title, info.Topic, info.Avatar)
	}
	if err != nil {
		return RoomInfo{}, err
	}
	if info.Meta, err = compactMeta(info.Meta, "meta", r.srv.opt.Limits.Meta); err != nil {
		return RoomInfo{}, err
	}
	info.Peers = slices.Clone(peers)
	res, err := r.commit(ctx, &commit{change: Change{Kind: ChangeCreateRoom, Room: info}, trace: trace})
	return *cloneInfo(&res.Room), err
}

// Info returns the room's settings.
func (r *Room) Info(ctx context.Context) (RoomInfo, error) {
	live, done, err := r.use()
	if err != nil {
		return RoomInfo{}, err
	}
	defer done()
	return live.infoCopy(ctx)
}

// Update changes settings of the room and returns all of them.
func (r *Room) Update(ctx context.Context, u RoomUpdate) (RoomInfo, error) {
	live, done, err := r.use()
	if err != nil {
		return RoomInfo{}, err
	}
	defer done()
	return live.update(ctx, u, "")
}

func (r *liveRoom) update(ctx context.Context, u RoomUpdate, trace string) (RoomInfo, error) {
	err := checkRoomTexts(deref(u.Title), deref(u.Topic), deref(u.Avatar))
	if err == nil {
		err = checkLook(deref(u.Title), deref(u.Topic), deref(u.Avatar))
	}
	if err != nil {
		return RoomInfo{}, err
	}
	if u.Meta, err = compactMeta(u.Meta, "meta", r.srv.opt.Limits.Meta); err != nil {
		return RoomInfo{}, err
	}
	u.Title, u.Topic, u.Avatar = cloneText(u.Title), cloneText(u.Topic), cloneText(u.Avatar)
	res, err := r.commit(ctx, &commit{change: Change{Kind: ChangeUpdateRoom, Update: u}, trace: trace})
	return *cloneInfo(&res.Room), err
}

// Remove deletes the room with everything in it. Whoever is in it is told, and
// is out of it. It needs a Store that is a [RoomRemover], else it is
// ErrUnsupported.
func (r *Room) Remove(ctx context.Context) error {
	live, done, err := r.use()
	if err != nil {
		return err
	}
	defer done()
	return live.remove(ctx)
}

func (r *liveRoom) remove(ctx context.Context) error {
	store, ok := capability[RoomRemover](r.srv.opt.Store)
	if !ok {
		return &Error{Code: CodeUnsupported, Message: "the store cannot remove rooms"}
	}
	err := r.srv.callStore(ctx, func(ctx context.Context) error { return store.RemoveRoom(ctx, r.key()) })
	if err != nil {
		return err
	}
	r.gone()
	return nil
}

// gone ends everything that is about a room that does not exist any more.
func (r *liveRoom) gone() {
	r.forget()
	r.srv.revoked.count(r.id).Add(1) // joins under way look again
	for _, sink := range r.Topic.Sinks() {
		if s, ok := sink.(*session); ok {
			r.expel(s, CodeNotFound)
		}
	}
	epoch, _ := r.Topic.Head()
	r.Topic.Turn(hub.Turn{From: epoch, Good: -1}) // loops of Changes look again
}

// expel ends a session's subscription because the user may not have it any
// more, and says so.
func (r *liveRoom) expel(s *session, code Code) {
	if sub := s.unlink(r.id); sub != nil {
		sub.end(s.user(), true)
		s.send(func(b []byte) []byte { return wire.AppendLeft(b, r.id, string(code)) })
	}
}

// Send stores a message and gets it on its way to everybody in the room. Of m
// the fields User, Kind, Content, Nonce, ReplyTo, Thread, Mentions,
// Attachments and Meta count. User is required, but for a KindSystem. With a
// Nonce that this user has used in this room before, the first message is
// returned and nothing is stored.
//
// When Send returns nil, the message is in the store. ctx ends the waiting,
// not the sending: after an error of ErrUnavailable the message may still
// arrive, and a retry with the same nonce is safe.
func (r *Room) Send(ctx context.Context, m Message) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	switch m.Kind {
	case "":
		m.Kind = KindRegular
	case KindRegular, KindSystem:
	default:
		return Message{}, (&Error{Code: CodeInvalid, Message: "neither regular nor system"}).WithField("kind")
	}
	if !wire.ValidUserID(m.User) && (m.User != "" || m.Kind != KindSystem) {
		return Message{}, (&Error{Code: CodeInvalid, Message: "a message needs the id of its user"}).WithField("user")
	}
	m = cloneMessage(m) // ctx ends the waiting, and then the slices are the host's again
	if err := r.srv.opt.Limits.checkWhole(&m); err != nil {
		return Message{}, err
	}
	res, err := live.commit(ctx, &commit{
		change: Change{Kind: ChangeCreate, Message: Message{
			ID: newID(time.Now()), User: m.User, Kind: m.Kind, Content: m.Content, Nonce: m.Nonce, ReplyTo: m.ReplyTo,
			Thread: m.Thread, Mentions: m.Mentions, Attachments: m.Attachments, Meta: m.Meta,
		}},
		author: r.srv.names.One(ctx, m.User),
	})
	return cloneMessage(res.Message), err
}

// Edit replaces the content of the message with m.ID, and of Mentions,
// Attachments and Meta those that are not nil; what is empty but not nil is
// taken away. The message must keep the limits as the edit leaves it: its
// content may be empty as long as something is attached; where that has changed
// meanwhile, it is ErrConflict.
func (r *Room) Edit(ctx context.Context, m Message) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	before, err := live.find(ctx, m.ID)
	if err != nil {
		return Message{}, err
	}
	m = cloneMessage(m)
	c, err := live.edit(ctx, &m, before, false, "")
	if err != nil {
		return Message{}, err
	}
	res, err := live.commit(ctx, c)
	return cloneMessage(res.Message), err
}

// edit is the commit that changes a message to what of to is not nil. judged: a
// middleware has let the edit pass by what before is.
func (r *liveRoom) edit(ctx context.Context, to, before *Message, judged bool, trace string) (*commit, error) {
	if before.Deleted() {
		return nil, errNoMessage
	}
	m := Message{ID: before.ID, Content: to.Content, Mentions: to.Mentions, Attachments: to.Attachments, Meta: to.Meta}
	after, _, _ := (&Change{Message: m}).Edit(*before)
	after.Nonce, after.ReplyTo, after.Thread = "", "", "" // not what is edited
	if err := r.srv.opt.Limits.checkWhole(&after); err != nil {
		return nil, err
	}
	// As they have been checked, and none stays none, which is not left alone.
	if m.Attachments != nil {
		m.Attachments = append([]Attachment{}, after.Attachments...)
	}
	if m.Meta != nil {
		m.Meta = append(json.RawMessage{}, after.Meta...)
	}
	c := &commit{change: Change{Kind: ChangeEdit, Message: m}, author: r.srv.names.One(ctx, before.User), trace: trace}
	if judged || m.Attachments == nil && !wire.Visible(m.Content) {
		// Of more than what the edit sets: an attachment may make up for the content.
		c.change.Seen = before
	}
	return c, nil
}

// find returns a message that is there.
func (r *liveRoom) find(ctx context.Context, id string) (*Message, error) {
	if !validMessageID(id) {
		return nil, errNoMessage
	}
	page, err := r.history(ctx, Query{ID: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page.Messages) == 0 {
		return nil, errNoMessage
	}
	m := cloneMessage(page.Messages[0])
	return &m, nil
}

var errNoMessage = &Error{Code: CodeNotFound, Message: "no such message", Field: "id"}

// Delete empties the message; with hard, of its author too. It keeps its place
// in the room.
func (r *Room) Delete(ctx context.Context, id string, hard bool) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	m, err := live.find(ctx, id)
	if err != nil {
		return Message{}, err
	}
	author := r.srv.names.One(ctx, m.User)
	res, err := live.commit(ctx, &commit{author: author, change: Change{Kind: ChangeDelete, Hard: hard, Message: Message{ID: id}}})
	return cloneMessage(res.Message), err
}

// Message returns the message with the id.
func (r *Room) Message(ctx context.Context, id string) (Message, error) {
	live, done, err := r.use()
	if err != nil {
		return Message{}, err
	}
	defer done()
	m, err := live.find(ctx, id)
	if err != nil {
		return Message{}, err
	}
	m.Room = r.id
	return *m, nil
}

// History returns messages as q asks, sorted by Seq.
func (r *Room) History(ctx context.Context, q Query) (Page, error) {
	live, done, err := r.use()
	if err != nil {
		return Page{}, err
	}
	defer done()
	page, err := live.history(ctx, q)
	return live.own(page), err
}

// Typing shows the user as typing in the room, or not any more. It ends by
// itself after Limits.TypingExpiry, and with the user's next message.
func (r *Room) Typing(user User, active bool) {
	if !wire.ValidUserID(user.ID) {
		return
	}
	if live := r.srv.peek(r.id); live != nil {
		live.shows(public(&user), active)
		live.release()
	} else if c := r.srv.cluster; c != nil && ValidRoomID(r.id) {
		c.relay(r.id, public(&user), active)
	}
}

// Online returns the ids of the users who are in the room, on whichever server
// that shares the store, sorted.
func (r *Room) Online(ctx context.Context) ([]string, error) {
	live, done, err := r.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := live.attend(ctx); err != nil {
		return nil, err
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	ids := make([]string, 0, len(live.here.here))
	for _, p := range live.here.here {
		ids = append(ids, p.who.ID())
	}
	return ids, nil
}

// Changes follows the room's log from a position: every change after it, each
// changed thing in its newest state, in rev order, and then what happens, until
// ctx ends or the loop does. It is the cursor that clients have, for server
// code. It does not skip: a position that cannot be continued, because the log
// was trimmed or replaced, ends the loop with ErrReset. The zero Position means
// from the beginning.
//
//	for entry, err := range srv.Room("general").Changes(ctx, position) {
//		...
//		position = entry.Position // to begin at after a restart
//	}
func (r *Room) Changes(ctx context.Context, from Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { r.follow(ctx, from, yield) }
}

// reserved reports whether only the server itself makes rooms of such an id.
func reserved(id string) bool { return id[0] == '~' }

var errReserved = &Error{Code: CodeInvalid, Message: "ids that start with ~ are reserved", Field: "room"}
