package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// A database may come back as it was earlier: a backup, a standby that was
// behind, a crash that took commits which were asynchronous. What happens
// between two such moments is a life of the data; sqlLife names the one that
// goes on. Each room says in which life it was last written to, and whoever
// finds another one there notes where its log ends, and goes on under a new
// epoch. That is seen in the statement that locks the room, so that nobody
// writes past that place before it is noted.

// errLife ends a transaction that cannot go on as it began: the rooms are of
// another life, or the life has no name yet. The next attempt will do.
var errLife = errors.New("another life of the database has begun")

// behind reports whether the server whose job it is has seen more of this log
// than there is: it has been rolled back, in whatever life.
func (st *state) behind(j *job) bool {
	return j.known.Epoch == st.epoch && j.known.Rev > st.rev
}

// step takes the next rev, in an epoch of this life.
func (st *state) step() {
	if st.life != st.now {
		st.begin()
	}
	st.rev++
}

// begin ends the room's epoch where its head is, and goes on in another one.
func (st *state) begin() {
	st.past = append([]chat.Position{{Epoch: st.epoch, Rev: st.rev, Seq: st.seq}}, st.past...)
	st.past = st.past[:min(len(st.past), chat.MaxPast)]
	st.renew()
}

// renew gives the room an epoch that has nothing to do with any before.
func (st *state) renew() {
	st.epoch, st.life, st.renewed = newEpoch(), st.now, true
}

// nameLife sees to it that the life has a name, whoever gives it.
func (s *Store) nameLife(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, s.q(sqlNameLife))
	return err
}

// packPast makes lines, as the column has them.
func packPast(past []chat.Position) string {
	var b []byte
	for _, p := range past {
		b = append(strconv.AppendInt(b, p.Rev, 10), ' ')
		b = append(strconv.AppendInt(b, p.Seq, 10), ' ')
		b = append(append(b, p.Epoch...), '\n')
	}
	return string(b)
}

// unpackPast leaves out what cannot be read, and all that is older: then there
// is less of a common past, never more.
func unpackPast(text string) []chat.Position {
	var past []chat.Position
	for line := range strings.Lines(text) {
		rev, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		seq, epoch, ok := strings.Cut(rest, " ")
		r, err1 := strconv.ParseInt(rev, 10, 64)
		n, err2 := strconv.ParseInt(seq, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			break
		}
		past = append(past, chat.Position{Epoch: epoch, Rev: r, Seq: n})
	}
	return past
}
