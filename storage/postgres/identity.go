package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/jackc/pgx/v5"
)

// identity is what tells one history of a database from another: the system
// and its timeline, which changes when a standby is promoted and when a backup
// is recovered to a point in time. It is the end of each epoch that leaves this
// package, so that positions from before do not compare with what is there
// now. It is empty where the server does not tell.
type identity string

const identityKey = "gabble.identity"

// identify asks once per connection: the timeline of a server that takes
// writes does not change under it.
func (s *Store) identify(ctx context.Context, conn *pgx.Conn) (identity, error) {
	data := conn.PgConn().CustomData()
	if id, ok := data[identityKey].(identity); ok {
		return id, nil
	}
	var text string
	err := conn.QueryRow(ctx, sqlIdentity).Scan(&text)
	switch state := sqlState(err); {
	case err == nil:
	case state == "42501" || state == "42883" || state == "0A000": // no right, no such function, not supported
		s.anonymous.Do(func() {
			s.log.Warn("postgres: the server does not tell its timeline, so a failover that loses messages "+
				"is noticed in a room only when more is written to it; grant pg_read_all_settings or EXECUTE on pg_control_system()", "error", err.Error())
		})
		text = ""
	default:
		return "", err
	}
	id := identity("")
	if text != "" {
		sum := sha256.Sum256([]byte(text))
		id = identity("." + base32.StdEncoding.EncodeToString(sum[:5]))
	}
	data[identityKey] = id
	return id, nil
}

// outer is the epoch that others see for the one that is stored.
func (id identity) outer(epoch string) string { return epoch + string(id) }

// inner is the stored epoch for the one that others have seen, "" for one of
// another history.
func (id identity) inner(epoch string) string {
	stored, ok := strings.CutSuffix(epoch, string(id))
	if !ok {
		return ""
	}
	return stored
}
