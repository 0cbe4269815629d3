package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gabblehq/chat/internal/wire"
)

// RoomKind says who may be in a room by default.
type RoomKind string

// The kinds of rooms.
const (
	RoomPublic RoomKind = "public" // any signed-in user may join, read and write
	RoomDirect RoomKind = "direct" // exactly two users

	roomControl RoomKind = "control" // see controlRoom
)

// RoomInfo is a room's settings.
type RoomInfo struct {
	ID     string // see [ValidRoomID]
	Kind   RoomKind
	Title  string
	Topic  string
	Avatar string // URL

	// Peers are the ids of the two users of a direct room, sorted.
	Peers []string

	Meta      json.RawMessage // a JSON object, opaque to the server; nil: none
	CreatedBy string          // user id; empty: the host
	CreatedAt time.Time
	Rev       int64 // log position at which the settings last changed
}

// RoomUpdate names the settings of a room that are to change; nil leaves one
// as it is.
type RoomUpdate struct {
	Title  *string
	Topic  *string
	Avatar *string
	Meta   json.RawMessage
}

// ValidRoomID reports whether id may name a room: 1 to 128 of
// [A-Za-z0-9_.~-], and neither "." nor "..". Ids that start with "~" are
// Gabble's own: clients and hosts cannot create them by name.
func ValidRoomID(id string) bool { return wire.ValidRoomID(id) }

// reserved reports whether only the server itself makes rooms of such an id.
func reserved(id string) bool { return id[0] == '~' }

var errReserved = &Error{Code: CodeInvalid, Message: "ids that start with ~ are reserved", Field: "room"}

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

func (r *liveRoom) infoCopy(ctx context.Context) (RoomInfo, error) {
	info, err := r.settings(ctx)
	if err != nil {
		return RoomInfo{}, err
	}
	c := cloneInfo(info)
	c.ID = r.id
	return *c, nil
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

// createRoomCommand makes a room, by its id or for two users.
var createRoomCommand = command{
	typ: CmdCreateRoom, class: ClassWrite,
	run: (*call).createRoom, reply: (*call).shown,
	routes: []route{
		{pattern: "POST /rooms", status: http.StatusCreated, read: (*call).readNewRoom},
		{pattern: "POST /direct", status: http.StatusCreated, read: (*call).readPeer},
	},
}

// updateRoomCommand changes a room's settings.
var updateRoomCommand = command{
	typ: CmdUpdateRoom, class: ClassWrite, action: ActionModerate,
	run: (*call).updateRoom, reply: (*call).shown,
	routes: []route{{pattern: "PATCH /rooms/{room}", status: http.StatusOK, read: (*call).readUpdate}},
}

// roomBody is the body of POST and PATCH /rooms. Pointers tell what is absent.
type roomBody struct {
	ID     string          `json:"id"`
	Kind   RoomKind        `json:"kind" validate:"omitempty,oneof=public"`
	Title  *string         `json:"title" validate:"omitempty,max=200"`
	Topic  *string         `json:"topic" validate:"omitempty,max=1000"`
	Avatar *string         `json:"avatar" validate:"omitempty,max=2048"`
	Meta   json.RawMessage `json:"meta"`
}

func (c *call) readNewRoom(r *http.Request) error {
	var b roomBody
	if err := c.readBody(r, &b); err != nil {
		return err
	}
	c.cmd.Room = b.ID
	c.args = RoomInfo{Title: deref(b.Title), Topic: deref(b.Topic), Avatar: deref(b.Avatar), Meta: b.Meta}
	return nil
}

func (c *call) readUpdate(r *http.Request) error {
	var b roomBody
	if err := c.readBody(r, &b); err != nil {
		return err
	}
	c.args = RoomUpdate{Title: b.Title, Topic: b.Topic, Avatar: b.Avatar, Meta: b.Meta}
	return nil
}

// roomNow is the room as it crosses the wire, with how many are in it now.
func (s *Server) roomNow(ctx context.Context, info *RoomInfo) wire.Reply {
	w := s.wireRoom(info, s.names.Many(ctx, info.Peers))
	r := s.acquire(w.ID)
	defer r.release()
	_ = r.presence.Load(ctx) // where that fails, it is who is here
	w.Online = r.presence.Count()
	return &w
}

func (c *call) createRoom(ctx context.Context, _ visit) error {
	s := c.srv
	if !ValidRoomID(c.cmd.Room) {
		return (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("id")
	}
	if c.cmd.Peer == "" && reserved(c.cmd.Room) {
		return errReserved.WithField("id")
	}
	info, _ := c.args.(RoomInfo)
	info.ID, info.Kind, info.CreatedBy = c.cmd.Room, RoomPublic, c.cmd.User.ID
	if c.cmd.Peer != "" {
		info.Kind, info.Peers = RoomDirect, sortedPeers(c.cmd.User.ID, c.cmd.Peer)
	}
	if err := s.may(ctx, c.cmd.User, ActionCreate, &info); err != nil {
		return &Error{Code: CodeForbidden, Message: "not allowed to create this room", cause: err}
	}
	if err := c.mayMake(ctx); err != nil {
		return err
	}
	r := s.acquire(c.cmd.Room)
	defer r.release()
	made, err := r.create(ctx, info, info.Peers, c.cmd.TraceID)
	if errors.Is(err, ErrConflict) && c.cmd.Peer != "" {
		made, err = r.infoCopy(ctx) // the direct room of two is the same whoever asks first
	}
	if errors.Is(err, ErrConflict) && s.may(ctx, c.cmd.User, ActionRead, &made) != nil {
		return &Error{Code: CodeForbidden, Message: "not allowed to create this room"}
	}
	if err == nil {
		c.found = s.roomNow(ctx, &made)
	}
	return err
}

// mayMake takes a room that a user makes off what they may make.
func (c *call) mayMake(ctx context.Context) error {
	n := c.srv.opt.Limits.NewRooms
	wait, err := c.srv.looks.Allow(ctx, "room/"+c.cmd.User.ID, Rate{PerSecond: float64(n) / time.Hour.Seconds(), Burst: n})
	if err == nil && wait > 0 {
		return &Error{Code: CodeRateLimited, Message: "too many new rooms", Field: "room", RetryAfter: wait}
	}
	return nil
}

func (c *call) updateRoom(ctx context.Context, in visit) error {
	update, _ := c.args.(RoomUpdate)
	info, err := in.room.update(ctx, update, c.cmd.TraceID)
	if err == nil {
		c.found = c.srv.roomNow(ctx, &info)
	}
	return err
}

// checkRoomTexts holds what is said of a room to what everybody in it can be
// sent.
func checkRoomTexts(title, topic, avatar string) error {
	if err := checkTexts("title", title, "topic", topic, "avatar", avatar); err != nil {
		return err
	}
	switch {
	case utf8.RuneCountInString(title) > maxTitle:
		return &Error{Code: CodeTooLarge, Message: "the title is too long", Field: "title"}
	case utf8.RuneCountInString(topic) > maxTopic:
		return &Error{Code: CodeTooLarge, Message: "the topic is too long", Field: "topic"}
	case len(avatar) > maxURL:
		return &Error{Code: CodeTooLarge, Message: "the avatar is too long", Field: "avatar"}
	}
	return nil
}

// checkLook holds what is shown of a room in lists and headings to what can be shown
// there; "" is none.
func checkLook(title, topic, avatar string) error {
	switch {
	case !wire.OneLine(title):
		return &Error{Code: CodeInvalid, Message: "must be one line without control characters", Field: "title"}
	case title != "" && !wire.Visible(title):
		return &Error{Code: CodeInvalid, Message: "there is nothing to be seen of it", Field: "title"}
	case !wire.Lines(topic):
		return &Error{Code: CodeInvalid, Message: "must be without control characters", Field: "topic"}
	case avatar != "" && !wire.ValidURL(avatar):
		return &Error{Code: CodeInvalid, Message: "must be an http or https URL, or a path from /, of at most 2048 bytes", Field: "avatar"}
	}
	return nil
}

// UpdateRoom returns the settings as the change, a ChangeUpdateRoom, leaves
// them, and whether that is any different. Rev is the caller's to set.
func (c *Change) UpdateRoom(info RoomInfo) (RoomInfo, bool) {
	u := &c.Update
	changed := set(&info.Title, u.Title)
	changed = set(&info.Topic, u.Topic) || changed
	changed = set(&info.Avatar, u.Avatar) || changed
	if u.Meta != nil && !bytes.Equal(u.Meta, info.Meta) {
		info.Meta, changed = u.Meta, true
	}
	return info, changed
}

// cloneInfo returns a copy that shares nothing with what others may change.
func cloneInfo(info *RoomInfo) *RoomInfo {
	c := *info
	c.Peers, c.Meta = slices.Clone(c.Peers), slices.Clone(c.Meta)
	return &c
}

func cloneText(s *string) *string {
	if s == nil {
		return nil
	}
	c := *s
	return &c
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// wireRoom is the room as it crosses the wire.
func (s *Server) wireRoom(info *RoomInfo, who func(string) wire.User) wire.Room {
	w := wire.Room{
		ID: info.ID, Kind: string(info.Kind), Title: info.Title, Topic: info.Topic,
		Avatar: info.Avatar, Meta: info.Meta, CreatedAt: info.CreatedAt, Rev: info.Rev,
	}
	for _, p := range info.Peers {
		w.Peers = append(w.Peers, who(p))
	}
	return w
}

func (r *liveRoom) roomFrame(ctx context.Context, info *RoomInfo) []byte {
	w := r.srv.wireRoom(info, r.srv.names.Soon(ctx, info.Peers))
	return wire.Seal(wire.AppendRoom(wire.NewFrame(256), &w))
}

// roomObject is a room as it crosses the wire, with what only the host is told.
type roomObject struct {
	wire.Room
	CreatedBy string `json:"created_by,omitzero"`
}

// MarshalJSON writes the settings as the room crosses the wire, see docs/protocol.md,
// the peers by their ids, and beside that created_by, which clients are not told.
func (r RoomInfo) MarshalJSON() ([]byte, error) {
	w := roomObject{CreatedBy: r.CreatedBy, Room: wire.Room{
		ID: r.ID, Kind: string(r.Kind), Title: r.Title, Topic: r.Topic, Avatar: r.Avatar, Meta: r.Meta, CreatedAt: r.CreatedAt, Rev: r.Rev,
	}}
	for _, p := range r.Peers {
		w.Peers = append(w.Peers, wire.User{ID: p})
	}
	b := wire.AppendRoomObject(nil, &w.Room)
	if r.CreatedBy == "" {
		return b, nil
	}
	by, err := json.Marshal(r.CreatedBy)
	if err != nil {
		return nil, err
	}
	sep := ","
	if len(b) == len("{}") {
		sep = ""
	}
	return fmt.Appendf(b[:len(b)-1], `%s"created_by":%s}`, sep, by), nil
}

// UnmarshalJSON reads what MarshalJSON has written, and rooms of frames and REST.
func (r *RoomInfo) UnmarshalJSON(b []byte) error {
	var w roomObject
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("chat: room: %w", err)
	}
	*r = RoomInfo{
		ID: w.ID, Kind: RoomKind(w.Kind), Title: w.Title, Topic: w.Topic, Avatar: w.Avatar,
		Meta: w.Meta, CreatedBy: w.CreatedBy, CreatedAt: w.CreatedAt, Rev: w.Rev,
	}
	for _, p := range w.Peers {
		r.Peers = append(r.Peers, p.ID)
	}
	return nil
}
