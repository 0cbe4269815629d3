package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gabblehq/chat"
)

var (
	errNoRoom    = &chat.Error{Code: chat.CodeNotFound, Message: "no such room"}
	errNoMessage = &chat.Error{Code: chat.CodeNotFound, Message: "no such message"}
	errRoomThere = &chat.Error{Code: chat.CodeConflict, Message: "the room exists already"}
	errIDTaken   = &chat.Error{Code: chat.CodeConflict, Message: "a message has this id already", Field: "id"}
	errChange    = &chat.Error{Code: chat.CodeInvalid, Message: "not a kind of change"}
	errBusy      = &chat.Error{Code: chat.CodeUnavailable, Message: "the room is locked by another transaction"}
	errRefuses   = &chat.Error{Code: chat.CodeUnavailable, Message: "the database refuses"}
	errClosed    = &chat.Error{Code: chat.CodeUnavailable, Message: "the store has been closed"}
)

// The classes of the server's errors that matter here.
const (
	lockNotAvailable = "55P03"
	uniqueViolation  = "23505"
)

// opaque keeps the text of a driver's error and nothing else of it.
func opaque(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return errors.New(err.Error())
}

// unavailable is a failure after which nothing has been written.
func unavailable(err error) error {
	var e *chat.Error
	if errors.As(err, &e) {
		return e
	}
	message, cause := "the database does not answer", opaque(err)
	if what := remedy(err); what != "" {
		message, cause = errRefuses.Message, fmt.Errorf("%s: %w", what, cause)
	}
	return (&chat.Error{Code: chat.CodeUnavailable, Message: message}).WithCause(cause)
}

// remedy says what is the matter where the operator can mend it, and the
// server's own words do not say how. Clients are not told.
func remedy(err error) string {
	switch state := sqlState(err); state {
	case "42501":
		return "its user lacks a right: see the package documentation, Tables and rights"
	case "3D000":
		return "there is no such database: create it, or name another one in the URL"
	case "28000", "28P01":
		return "it does not let this user in: check user, password and pg_hba.conf"
	case "42P05", "26000", "08P01":
		return "a pooler in between mixes up prepared statements: add default_query_exec_mode=exec to the URL, or have PgBouncer 1.21 or newer keep them (max_prepared_statements)"
	case "3F000", "42P01", "42703", "42883":
		return "the tables are not those of this version, or are gone: open the store anew, or run postgres.Migrate"
	case "25006":
		return "it takes no changes: it is a standby, or read-only; with several hosts in the URL add target_session_attrs=read-write"
	case "53100":
		return "its disk is full"
	case "53300":
		return "it takes no more connections: raise max_connections, or lower pool_max_conns in the URL"
	}
	return ""
}

// complaints is what has been logged of what the operator can mend.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// complainEvery is how often the same is said.
const complainEvery = time.Minute

// complain says in the log what the operator can mend, now and then. It reports
// whether this is of that kind.
func (s *Store) complain(err error) bool {
	what := remedy(err)
	if what == "" {
		return false
	}
	s.said.mu.Lock()
	last, said := s.said.last[what]
	quiet := said && time.Since(last) < complainEvery
	if !quiet {
		if s.said.last == nil {
			s.said.last = make(map[string]time.Time)
		}
		s.said.last[what] = time.Now()
	}
	s.said.mu.Unlock()
	if !quiet {
		s.log.Error("postgres: the database refuses: "+what, "error", err.Error())
	}
	return true
}

// grievance is why what a store does over and over, unasked, fails. One goroutine
// uses it.
type grievance struct {
	s     *Store
	what  string
	state string // of the error that has been logged
	bad   bool
}

// note logs a failure that is not of the same cause as the last, and what the
// operator can mend only where nobody else has.
func (g *grievance) note(err error) {
	if err == nil {
		g.bad = false
		return
	}
	if g.s.complain(err) {
		return
	}
	if state := sqlState(err); !g.bad || state != g.state {
		g.bad, g.state = true, state
		g.s.log.Warn("postgres: "+g.what, "error", err.Error())
	}
}

// unknown is a failure after which anything may have been written.
func unknown(err error) error {
	return (&chat.Error{Code: chat.CodeUnavailable, Message: "the outcome is not known; retry with the same nonce"}).
		WithCause(fmt.Errorf("%w: %w", chat.ErrUnknown, opaque(err)))
}

// gaveUp answers a caller whose context has ended.
func gaveUp(ctx context.Context) error {
	return (&chat.Error{Code: chat.CodeUnavailable, Message: "given up before it began"}).WithCause(context.Cause(ctx))
}

// alive answers a call whose context has ended already.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return gaveUp(ctx)
}

// setupError is what New and its like return.
func setupError(ctx context.Context, doing string, err error) error {
	var m mistake
	if errors.As(err, &m) {
		return m
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("postgres: %s: %w", doing, cause)
	}
	return fmt.Errorf("postgres: %s: %w", doing, unavailable(err))
}

// sqlState is the server's code of the error, "" for one of the connection.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// passing reports whether what has failed, with nothing written, may well
// succeed when it is tried again: a lost connection, a server that ends or
// starts, a conflict with another transaction.
func passing(err error) bool {
	if _, ok := err.(final); ok || panicked(err) {
		return false
	}
	switch state := sqlState(err); {
	case state == "":
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
	case state[:2] == "40", state[:2] == "57" && state != "57014", state[:2] == "08", state[:2] == "53":
		return true
	}
	return false
}

// ofData reports whether the server objects to what is to be written, rather
// than to when.
func ofData(err error) bool {
	state := sqlState(err)
	return state != "" && (state[:2] == "22" || state[:2] == "23" || state[:2] == "54")
}
