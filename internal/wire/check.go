package wire

import (
	"fmt"
	"unicode/utf8"
)

// What one frame may hold at most, whatever the server's options say.
const (
	MaxRef         = 64        // bytes
	MaxNonce       = 64        // bytes
	MaxID          = 64        // bytes of a message's id, or an epoch
	MaxUserID      = 128       // bytes
	MaxRoomID      = 128       // bytes
	MaxToken       = 8192      // bytes
	MaxCursor      = 512       // bytes
	MaxURL         = 2048      // bytes
	MaxName        = 255       // bytes of an attachment's name or type
	MaxMeta        = 4096      // bytes of a meta object without white space
	MaxNumber      = 1<<53 - 1 // of a position or a size: what every JSON reader holds exactly
	MaxCount       = 1<<31 - 1 // of what is counted
	MaxMentions    = 50
	MaxAttachments = 10
	MaxRooms       = 200 // in one join
)

// ValidRoomID reports whether id may name a room: 1 to 128 of
// [A-Za-z0-9_.~-], and neither "." nor "..", which have a meaning in URLs.
func ValidRoomID(id string) bool {
	if id == "" || len(id) > MaxRoomID || id == "." || id == ".." {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == '~', c == '-':
		default:
			return false
		}
	}
	return true
}

// ValidUserID reports whether id may name a user: 1 to 128 bytes of UTF-8
// without control characters. Of bytes that are no UTF-8 the wire would make
// U+FFFD, and one user of two.
func ValidUserID(id string) bool {
	return id != "" && len(id) <= MaxUserID && !hasControl(id) && utf8.ValidString(id)
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// token reports whether s is printable ASCII without spaces, at most limit
// bytes.
func token(s string, limit int) bool {
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return len(s) <= limit
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Check holds the command to the rules of its type. Decoding has done so; it
// is for commands that were filled in by hand. Meta is not looked into, that
// is what [CompactMeta] is for.
func (c *Command) Check() error {
	if err := c.check(); err != nil {
		err.refer(c.Ref)
		return err
	}
	return nil
}

func (c *Command) check() *Error {
	if len(c.Ref) > MaxRef {
		return invalid("ref", "is longer than %d bytes", MaxRef)
	}
	for i := range types {
		if t := &types[i]; t.name == c.Type {
			if t.check == nil {
				return nil
			}
			return t.check(c)
		}
	}
	if c.Type == "" {
		return invalid("type", "is required")
	}
	return invalid("type", "is not a type of this protocol")
}

func first(errs ...*Error) *Error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkRoom(field, id string) *Error {
	if id == "" {
		return invalid(field, "is required")
	}
	if !ValidRoomID(id) {
		return invalid(field, "must be 1 to %d of A-Z a-z 0-9 _ . ~ -, and not . or ..", MaxRoomID)
	}
	return nil
}

func checkID(field, id string) *Error {
	if !token(id, MaxID) {
		return invalid(field, "must be printable ASCII of at most %d bytes", MaxID)
	}
	return nil
}

func (c *Command) checkRoom() *Error { return checkRoom("room", c.Room) }

func (c *Command) checkAuth() *Error {
	if c.Token == "" || !token(c.Token, MaxToken) {
		return invalid("token", "must be printable ASCII of at most %d bytes", MaxToken)
	}
	return nil
}

func (c *Command) checkOnline() *Error { return first(c.checkRoom(), c.checkCursor()) }

func (c *Command) checkCursor() *Error {
	if !token(c.Cursor, MaxCursor) {
		return invalid("cursor", "is not one of ours")
	}
	return nil
}

func (c *Command) checkEdit() *Error {
	if err := first(c.checkRoom(), c.checkGiven()); err != nil {
		return err
	}
	if !c.HasContent {
		return invalid("content", "is required")
	}
	return first(checkID("id", c.ID), c.checkParts())
}

func (c *Command) checkDelete() *Error {
	return first(c.checkRoom(), c.checkGiven(), checkID("id", c.ID), c.checkParts())
}

// checkGiven sees to it that a message is named.
func (c *Command) checkGiven() *Error {
	if c.ID == "" {
		return invalid("id", "is required")
	}
	return nil
}

func (c *Command) checkHistory() *Error {
	if err := c.checkRoom(); err != nil {
		return err
	}
	given := 0
	for _, seq := range [...]int64{c.Before, c.After, c.Around} {
		if seq >= 0 {
			given++
		}
	}
	if given > 1 {
		return invalid("before", "before, after and around exclude each other")
	}
	return checkID("thread", c.Thread)
}

func (c *Command) checkJoin() *Error {
	if c.Rooms == nil {
		j := Join{Room: c.Room, User: c.User, Epoch: c.Epoch, History: c.History, After: c.After}
		return j.check()
	}
	switch {
	case c.Room != "" || c.User != "":
		return invalid("rooms", "room, user and rooms exclude each other")
	case c.History >= 0 || c.After >= 0 || c.Epoch != "":
		return invalid("rooms", "history, after and epoch belong to each of the rooms")
	case len(c.Rooms) == 0 || len(c.Rooms) > MaxRooms:
		return invalid("rooms", "must be 1 to %d", MaxRooms)
	}
	for i := range c.Rooms {
		if err := c.Rooms[i].check(); err != nil {
			err.Field = itemField("rooms", i, err.Field)
			return err
		}
	}
	return checkTwice(c.Rooms)
}

// checkTwice refuses a room or a user that is there twice: what the second
// would be answered, after the first, is nothing that anybody could want.
func checkTwice(list []Join) *Error {
	seen := make(map[Join]struct{}, len(list))
	for i := range list {
		key := Join{Room: list[i].Room, User: list[i].User}
		if _, twice := seen[key]; twice {
			field := "room"
			if key.User != "" {
				field = "user"
			}
			return invalid(itemField("rooms", i, field), "is there twice")
		}
		seen[key] = struct{}{}
	}
	return nil
}

func (j *Join) check() *Error {
	switch {
	case j.Room != "" && j.User != "":
		return invalid("user", "room and user exclude each other")
	case j.User != "" && !ValidUserID(j.User):
		return invalid("user", "must be 1 to %d bytes of UTF-8 without control characters", MaxUserID)
	case j.History >= 0 && j.After >= 0:
		return invalid("after", "history and after exclude each other")
	case j.After >= 0 && j.Epoch == "":
		return invalid("epoch", "is required beside after")
	}
	if j.User == "" {
		if err := checkRoom("room", j.Room); err != nil {
			return err
		}
	}
	return checkID("epoch", j.Epoch)
}

func (c *Command) checkMessage() *Error {
	if err := c.checkRoom(); err != nil {
		return err
	}
	if c.Content == "" && len(c.Attachments) == 0 {
		return invalid("content", "is required where nothing is attached")
	}
	if !token(c.Nonce, MaxNonce) {
		return invalid("nonce", "must be printable ASCII of at most %d bytes", MaxNonce)
	}
	return first(checkID("reply_to", c.ReplyTo), checkID("thread", c.Thread), c.checkParts())
}

// CheckParts holds what a message has beside its content to the rules, for
// messages that no client has sent. Meta is not looked into.
func (c *Command) CheckParts() error {
	if !token(c.Nonce, MaxNonce) {
		return invalid("nonce", "must be printable ASCII of at most %d bytes", MaxNonce)
	}
	if err := first(checkID("reply_to", c.ReplyTo), checkID("thread", c.Thread), c.checkParts()); err != nil {
		return err
	}
	return nil
}

// checkParts checks what a message and an edit have beside the content.
func (c *Command) checkParts() *Error {
	if len(c.Mentions) > MaxMentions {
		return invalid("mentions", "are more than %d", MaxMentions)
	}
	for i, id := range c.Mentions {
		if !ValidUserID(id) {
			return invalid(itemField("mentions", i, ""), "must be 1 to %d bytes of UTF-8 without control characters", MaxUserID)
		}
	}
	if len(c.Attachments) > MaxAttachments {
		return invalid("attachments", "are more than %d", MaxAttachments)
	}
	for i := range c.Attachments {
		if err := c.Attachments[i].check(); err != nil {
			err.Field = itemField("attachments", i, err.Field)
			return err
		}
	}
	return checkMetaSize(c.Meta)
}

func (a *Attachment) check() *Error {
	switch {
	case a.URL == "":
		return invalid("url", "is required")
	case !ValidURL(a.URL):
		return invalid("url", "must be an http or https URL, or a path from /, of at most %d bytes", MaxURL)
	case len(a.Name) > MaxName || !OneLine(a.Name):
		return invalid("name", "must be at most %d bytes without control characters", MaxName)
	case !token(a.Type, MaxName):
		return invalid("type", "must be a MIME type of at most %d bytes", MaxName)
	case a.Size < 0 || a.Size > MaxNumber:
		return invalid("size", "must be an integer from 0 to %d", int64(MaxNumber))
	case a.Width < 0 || a.Width > MaxCount || a.Height < 0 || a.Height > MaxCount:
		return invalid("width", "width and height must be integers from 0 to %d", MaxCount)
	}
	return checkMetaSize(a.Meta)
}

func checkMetaSize(meta []byte) *Error {
	if len(meta) > MaxMeta {
		return &Error{Code: CodeTooLarge, Field: "meta", Message: fmt.Sprintf("is larger than %d bytes", MaxMeta)}
	}
	return nil
}
