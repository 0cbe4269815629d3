package sqlite

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// A commit goes to the log, in whole pages, some twenty kilobytes for a short
// message; to the database it comes when the log is carried over, and the log
// is free again when all of it is. On a full volume neither file can grow, and
// deleting needs the log as well. So the log takes only a part of what is free,
// and a reserve lies beside the database, to pay for carrying over and for
// deleting when nothing else is left.
const (
	pageSize = 4096

	// A page that has been written many times is carried once: at 16 MB, a
	// sixth fewer messages go through than at 64.
	maxLog = 64 << 20
	// logShare is the part of the free space that the log may take.
	logShare = 8

	maxReserve = 1 << 20
	minReserve = maxReserve / 4
	// reserveShare is the part of the volume that the reserve may take.
	reserveShare = 16

	// sparePages is how many unused pages the database has at least where new
	// messages are taken although the reserve is spent.
	sparePages = 16

	// spaceEvery is how often it is tried, at most, to get out of trouble.
	spaceEvery = 200 * time.Millisecond
	// carryPatience is how long the writer waits for those who read, so that
	// the log can start anew.
	carryPatience = 100 * time.Millisecond
)

// space is what the writer knows of the room there is for the database.
type space struct {
	log     int64     // what the log may take, 0: not yet said to this connection
	pinned  bool      // the connection is told not to let the database grow
	spent   bool      // the reserve is, or there was none
	held    bool      // a part of it has been taken back
	tight   bool      // so nothing is added, and what deletes goes on
	full    bool      // what the last transaction met
	looked  time.Time // when it was last tried to have the reserve back
	carried time.Time // when a log that was too long was last carried over
}

// noSpace reports whether a write failed, or may have, because there was no
// room for it. SQLite says SQLITE_FULL for ENOSPC of a write, and an I/O error
// for a quota and for the file that the processes share.
func noSpace(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP:
		return true
	}
	return primary(err) == sqlite3.SQLITE_FULL
}

// logBound is what the log may take, of what is free. It is a power of two, so
// that it does not change all the time.
func logBound(free, reserve int64) int64 {
	n := min(max(free/logShare, reserve/8), maxLog)
	return 1 << (bits.Len64(uint64(n)) - 1)
}

// reserveSize is that of the reserve on a volume.
func reserveSize(total int64) int64 { return min(max(total/reserveShare, minReserve), maxReserve) }

// measure is what the volume has left, and what the reserve takes. Where that is
// not known there is enough until a write says otherwise.
func (s *source) measure() (free, reserve int64) {
	free, total, known := s.volume(s.path)
	if !known {
		return math.MaxInt64, maxReserve
	}
	return free, reserveSize(total)
}

func (s *source) reservePath() string { return s.path + "-reserve" }

// keep makes the reserve where there is room for another one beside it, and
// reports whether there is one.
func (s *source) keep() bool {
	free, size := s.measure()
	if info, err := os.Stat(s.reservePath()); err == nil && info.Size() >= size {
		return true
	}
	return free/2 >= size && s.set(size)
}

// set makes the reserve one of so many bytes.
func (s *source) set(size int64) bool {
	// Not zeros: there are file systems that do not store them.
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	if os.WriteFile(s.reservePath(), b, 0o600) == nil {
		return true
	}
	s.giveUp()
	return false
}

// giveUp takes the reserve away.
func (s *source) giveUp() { _ = os.Remove(s.reservePath()) }

// look adapts to what the volume has left, before each transaction.
func (w *writer) look() error {
	free, reserve := w.measure()
	if w.space.spent && time.Since(w.space.looked) >= spaceEvery {
		w.space.looked = time.Now()
		w.carry()
		if err := w.open(); err != nil {
			return err
		}
		if w.keep() {
			w.space.spent, w.space.held, w.space.tight = false, false, false
		} else {
			w.hold()
			free, _ = w.measure()
			unused, err := w.conn.number("PRAGMA freelist_count")
			if err != nil {
				return err
			}
			w.space.tight = unused < sparePages || free < 8*pageSize
		}
	}
	if err := w.bound(logBound(free, reserve)); err != nil {
		return err
	}
	return w.pin(w.space.spent && !w.space.tight)
}

// bound says how long the log may become before it is carried over, and sees
// to a log that has become too long in spite of it: readers without a gap
// between them keep it from starting anew, and what it took when there was
// more space it does not give back by itself.
func (w *writer) bound(n int64) error {
	if w.space.log != n {
		for _, p := range [...]string{
			"wal_autocheckpoint = " + strconv.FormatInt(n/pageSize, 10),
			"journal_size_limit = " + strconv.FormatInt(n, 10),
		} {
			if err := w.conn.script("PRAGMA " + p); err != nil {
				return err
			}
		}
		w.space.log = n
	}
	if w.logSize() > 2*n && time.Since(w.space.carried) >= spaceEvery {
		w.space.carried = time.Now()
		w.carry()
	}
	return nil
}

// pin keeps the database from growing, so that what is added goes where
// something was deleted and the space of the reserve stays with the log.
func (w *writer) pin(on bool) error {
	if w.space.pinned == on {
		return nil
	}
	most := w.opts.maxPages
	if on {
		most = 1 // SQLite takes it for what there is
	}
	w.space.pinned = on
	return w.conn.script("PRAGMA max_page_count = " + strconv.FormatInt(most, 10))
}

func (w *writer) logSize() int64 {
	info, err := os.Stat(w.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// carry carries the log over and lets it start anew, from nothing. It reports
// whether there may be more room afterwards.
func (w *writer) carry() bool {
	if w.logSize() == 0 || w.open() != nil {
		return false
	}
	if w.conn.patience(carryPatience) != nil {
		return false
	}
	err := checkpoint(w.conn)
	if w.conn.patience(w.opts.patience) != nil {
		w.close()
	}
	return err == nil || err == errBusy
}

// spend gives the reserve up, and lets nothing be added until there is room.
// It reports whether that changes anything.
func (w *writer) spend() bool {
	if w.space.tight && !w.space.held {
		return false
	}
	w.giveUp()
	if !w.space.spent {
		w.space.looked = time.Now()
	}
	w.space.spent, w.space.held, w.space.tight = true, false, true
	w.carry()
	return true
}

// hold takes back half of what the reserve has left where it was spent:
// whatever else fills the volume, the next one who deletes finds it.
func (w *writer) hold() {
	if w.space.held {
		return
	}
	w.carry()
	free, reserve := w.measure()
	if n := min(free, reserve) / 2; n >= pageSize {
		w.space.held = w.set(n)
	}
}
