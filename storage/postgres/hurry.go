package postgres

import (
	"cmp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabblehq/chat"
)

// hurryLimit is how long a batch in a hurry waits for a room. Another server's
// transaction takes less; a host's own may take any time.
const hurryLimit = 25 * time.Millisecond

// hurried reports whether parts can go in a hurry: only changes of messages,
// while no room has been found locked for some time.
func (s *Store) hurried(parts []part) bool {
	if s.recent(&s.locked) {
		return false
	}
	for _, p := range parts {
		for _, j := range p.jobs {
			if j.newEpoch || !j.ofMessages() {
				return false
			}
		}
	}
	return true
}

func (j *job) ofMessages() bool {
	for i := range j.changes {
		switch j.changes[i].Kind {
		case chat.ChangeCreate, chat.ChangeEdit, chat.ChangeDelete:
		default:
			return false
		}
	}
	return true
}

// advance moves the heads of the rooms as if all changes were to succeed. Where
// they do not, writeRooms puts that right.
func (b *batch) advance(q *pgx.Batch, parts []part) {
	inOrder := slices.SortedFunc(slices.Values(parts), func(x, y part) int { return cmp.Compare(x.line.key, y.line.key) })
	keys := make([]string, len(parts)) // all lock rooms in this order
	revs, seqs := make([]int64, len(parts)), make([]int64, len(parts))
	for i, p := range inOrder {
		keys[i] = p.line.key
		for _, j := range p.jobs {
			revs[i] += int64(len(j.changes))
			for k := range j.changes {
				if j.changes[k].Kind == chat.ChangeCreate {
					seqs[i]++
				}
			}
		}
	}
	q.Queue(b.s.q(sqlAdvance), b.s.rooms, keys, revs, seqs).Query(b.readAdvanced)
}

// behind reports whether a room has been rolled back, which takes more than
// is read in a hurry.
func (b *batch) behind(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool {
		st := b.byKey[p.line.key]
		return st != nil && slices.ContainsFunc(p.jobs, st.behind)
	})
}

func (b *batch) readAdvanced(rows pgx.Rows) error {
	for rows.Next() {
		st := &state{exists: true}
		other := false
		if err := rows.Scan(&st.id, &st.key, &st.epoch, &st.row.Rev, &st.row.Seq, &st.rev, &st.seq, &st.base, &st.info.ID, &other); err != nil {
			return err
		}
		if other {
			return errLife // there is more to be read, and written
		}
		st.was = st.head()
		st.row.Epoch = st.epoch
		b.byKey[st.key] = st
	}
	return rows.Err()
}
