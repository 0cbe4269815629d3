package chat

import (
	"context"
	"errors"
	"strings"

	"github.com/gabblehq/chat/internal/wire"
)

// RoomPage is a page of the list of rooms.
type RoomPage struct {
	Rooms  []RoomSummary
	More   bool
	Cursor string // for the next page
}

// Rooms lists the rooms by id, at most limit of them, after the cursor of a
// page before, "" at the start. It needs a Store that is a [RoomLister], else
// it is ErrUnsupported.
func (s *Server) Rooms(ctx context.Context, cursor string, limit int) (RoomPage, error) {
	if !s.inUse.enter() {
		return RoomPage{}, ErrServerClosed
	}
	defer s.inUse.leave()
	return s.roomPage(ctx, cursor, limit, nil)
}

// minListed is how many rooms are read at once at least: a short page must not
// cost a read for each of the rooms that are passed over.
const minListed = 100

// roomPage lists the rooms that pass the filter.
func (s *Server) roomPage(ctx context.Context, cursor string, limit int, filter func(*RoomInfo) bool) (RoomPage, error) {
	store, ok := capability[RoomLister](s.opt.Store)
	if !ok {
		return RoomPage{}, &Error{Code: CodeUnsupported, Message: "the store cannot list rooms"}
	}
	prefix := s.key("")
	limit = max(limit, 0)
	page := RoomPage{Cursor: cursor}
	after := ""
	if cursor != "" {
		after = s.key(cursor)
	}
	for {
		var list []RoomSummary
		var more bool
		err := s.callStore(ctx, func(ctx context.Context) (err error) {
			list, more, err = store.ListRooms(ctx, prefix, after, max(limit+1, minListed))
			return err
		})
		if err != nil {
			return RoomPage{}, err
		}
		for _, sum := range list {
			after = sum.Key
			sum.Room.ID = strings.TrimPrefix(sum.Key, prefix)
			if strings.Contains(sum.Room.ID, "/") || sum.Room.ID == controlRoom {
				continue // a tenant's, of a server without one; or no room of users
			}
			if filter != nil && !filter(&sum.Room) {
				continue
			}
			if len(page.Rooms) == limit {
				page.More = true
				return page, nil
			}
			page.Rooms = append(page.Rooms, sum)
			// Only what is shown may be in the cursor: ids of rooms that the
			// user may not know of must not be.
			page.Cursor = sum.Room.ID
		}
		if !more || len(list) == 0 {
			return page, nil
		}
	}
}

// listRooms lists the rooms that the user may read.
func (s *Server) listRooms(ctx context.Context, c *call) error {
	limit := c.limit
	if limit == 0 {
		limit = s.opt.Limits.History
	}
	page, err := s.roomPage(ctx, c.cursor, min(limit, s.opt.Limits.MaxHistory), func(info *RoomInfo) bool {
		return s.may(ctx, c.cmd.User, ActionRead, info) == nil
	})
	if err != nil {
		return err
	}
	c.rooms = wire.Rooms{More: page.More}
	if page.More {
		c.rooms.Cursor = page.Cursor
	}
	var ids []string
	for i := range page.Rooms {
		if m := page.Rooms[i].LastMessage; m != nil {
			ids = append(ids, m.User)
		}
	}
	who := s.profiles.many(ctx, ids)
	online, err := s.onlineIn(ctx, page.Rooms)
	if err != nil {
		return err
	}
	for i := range page.Rooms {
		sum := &page.Rooms[i]
		w := s.wireRoom(&sum.Room, s.profiles.many(ctx, sum.Room.Peers))
		if m := sum.LastMessage; m != nil {
			last := wireMessage(m, who(m.User))
			last.Room = w.ID
			w.LastMessage = &last
		}
		w.Online = online[i]
		c.rooms.Rooms = append(c.rooms.Rooms, w)
	}
	return nil
}

// onlineIn returns how many users are in each of the rooms.
func (s *Server) onlineIn(ctx context.Context, rooms []RoomSummary) ([]int, error) {
	live := make([]*liveRoom, len(rooms))
	defer func() {
		for _, r := range live {
			if r != nil {
				r.release()
			}
		}
	}()
	var unread []*liveRoom
	for i := range rooms {
		if s.cluster == nil || s.cluster.attendance == nil {
			live[i] = s.peek(rooms[i].Room.ID)
			continue
		}
		r := s.acquire(rooms[i].Room.ID)
		live[i] = r
		r.mu.Lock()
		if !r.far().known {
			unread = append(unread, r)
		}
		r.mu.Unlock()
	}
	if len(unread) > 0 {
		if err := s.cluster.attendance.read(ctx, unread); err != nil {
			return nil, err
		}
	}
	counts := make([]int, len(rooms))
	for i, r := range live {
		if r != nil {
			counts[i], _, _ = r.online(nil, "", 0)
		}
	}
	return counts, nil
}

// createRoom makes a room for a client.
func (s *Server) createRoom(ctx context.Context, c *call) error {
	if !ValidRoomID(c.cmd.Room) {
		return (&Error{Code: CodeInvalid, Message: "not a room id"}).WithField("id")
	}
	if c.cmd.Peer == "" && reserved(c.cmd.Room) {
		return errReserved.WithField("id")
	}
	info := c.info
	info.ID, info.Kind, info.CreatedBy = c.cmd.Room, RoomPublic, c.cmd.User.ID
	if c.cmd.Peer != "" {
		info.Kind, info.Peers = RoomDirect, sortedPeers(c.cmd.User.ID, c.cmd.Peer)
	}
	if err := s.may(ctx, c.cmd.User, ActionCreate, &info); err != nil {
		return &Error{Code: CodeForbidden, Message: "not allowed to create this room", cause: err}
	}
	r := s.acquire(c.cmd.Room)
	defer r.release()
	made, err := r.create(ctx, info, info.Peers, c.cmd.TraceID)
	if errors.Is(err, ErrConflict) && c.cmd.Peer != "" {
		err = nil // the direct room of two is the same whoever asks first
		made, err = r.infoCopy(ctx)
	}
	if errors.Is(err, ErrConflict) && s.may(ctx, c.cmd.User, ActionRead, &made) != nil {
		return &Error{Code: CodeForbidden, Message: "not allowed to create this room"}
	}
	c.room = &made
	return err
}

func (r *liveRoom) infoCopy(ctx context.Context) (RoomInfo, error) {
	info, err := r.settings(ctx)
	if err != nil {
		return RoomInfo{}, err
	}
	c := *info
	c.ID = r.id
	return c, nil
}

// updateRoom changes a room's settings for a client.
func (s *Server) updateRoom(ctx context.Context, c *call) error {
	r, _, err := s.open(ctx, c, ActionModerate)
	if err != nil {
		return err
	}
	defer r.release()
	info, err := r.update(ctx, c.update, c.cmd.TraceID)
	c.room = &info
	return err
}

// deleteRoom removes a room for a client.
func (s *Server) deleteRoom(ctx context.Context, c *call) error {
	r, _, err := s.open(ctx, c, ActionModerate)
	if err != nil {
		return err
	}
	defer r.release()
	return r.remove(ctx)
}
