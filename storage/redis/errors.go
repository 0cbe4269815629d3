package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabblehq/chat"
)

var (
	errNoRoom    = &chat.Error{Code: chat.CodeNotFound, Message: "no such room"}
	errNoMessage = &chat.Error{Code: chat.CodeNotFound, Message: "no such message"}
	errRoomThere = &chat.Error{Code: chat.CodeConflict, Message: "the room exists already"}
	errIDTaken   = &chat.Error{Code: chat.CodeConflict, Message: "a message has this id already", Field: "id"}
	errChange    = &chat.Error{Code: chat.CodeInvalid, Message: "not a kind of change"}
	errClosed    = &chat.Error{Code: chat.CodeUnavailable, Message: "the store is closed"}
	errBusy      = &chat.Error{Code: chat.CodeUnavailable, Message: "the store has too much to do"}
)

// refusals begin the errors of a server that has not done what it was asked
// to, and nothing of it.
var refusals = []string{
	"OOM ", "READONLY ", "LOADING ", "CLUSTERDOWN ", "MASTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK ", "BUSY ",
	"MISCONF ", "NOREPLICAS ", "NOSCRIPT ", "NOAUTH ", "WRONGPASS ", "ERR max number of clients",
}

func refused(err error) bool {
	var e goredis.Error
	if !errors.As(err, &e) {
		return false
	}
	s := e.Error()
	for _, r := range refusals {
		if strings.HasPrefix(s, r) {
			return true
		}
	}
	return false
}

func noScript(err error) bool {
	var e goredis.Error
	return errors.As(err, &e) && strings.HasPrefix(e.Error(), "NOSCRIPT ")
}

// elsewhere reports whether the server says that the slot is another's.
func elsewhere(err error) bool {
	if err == nil {
		return false
	}
	_, moved := goredis.IsMovedError(err)
	_, ask := goredis.IsAskError(err)
	return moved || ask
}

// unsent reports whether the failed command cannot have reached a server.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" ||
		errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, goredis.ErrPoolExhausted) || errors.Is(err, goredis.ErrClosed)
}

// unavailable is the failure of what has written nothing. The driver's error
// goes on as the text of the cause alone.
func unavailable(err error) error {
	told, _, _ := said(err)
	return told.WithCause(plain(err))
}

func isInvalid(err error) bool { return errors.Is(err, chat.ErrInvalid) }

// failed is the failure of a write.
func failed(err error) error {
	if refused(err) || unsent(err) {
		return unavailable(err)
	}
	return fmt.Errorf("redis: %w: %w", chat.ErrUnknown, plain(err))
}

// plain keeps what callers test for and makes text of the rest.
func plain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return errors.New(err.Error())
}

// alive answers a call whose context has ended already.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return chat.Errorf(chat.CodeUnavailable, "given up before it began: %w", context.Cause(ctx))
}
