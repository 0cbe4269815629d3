package sqlite

import (
	"crypto/rand"
	"os"
	"strconv"
	"strings"

	"github.com/gabblehq/chat"
)

// Each opening of the file is another life of the data: before it, the file
// may have been put back, or a power cut may have taken the end of what was
// not synced. A room says in which life it was last written to, and where it
// is written to in another one its epoch ends where its head is.

// step takes the next rev, in an epoch of this life.
func (w *writer) step(r *roomState) error {
	if r.life != w.life {
		if err := w.begin(r); err != nil {
			return err
		}
	}
	r.head.Rev++
	return nil
}

// begin ends the room's epoch and goes on in another one.
func (w *writer) begin(r *roomState) error {
	past := append([]chat.Position{r.head}, r.past...)
	return w.renew(r, past[:min(len(past), chat.MaxPast)])
}

// renew gives the room another epoch, with what it has in common with earlier
// ones.
func (w *writer) renew(r *roomState, past []chat.Position) error {
	r.head.Epoch, r.life, r.past = rand.Text(), w.life, past
	_, err := w.conn.exec("UPDATE rooms SET epoch = ?, life = ?, past = ? WHERE pk = ?", r.head.Epoch, r.life, packPast(past), r.pk)
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

// source is the file that has been opened. Another one in its place would be
// read by some connections and not by others.
type source struct {
	path   string
	file   os.FileInfo
	volume func(path string) (free, total int64, known bool)
}

func newSource(path string, opts settled) (source, error) {
	info, err := os.Stat(path)
	return source{path, info, opts.volume}, err
}

// check reports a file that has been taken away or replaced.
func (s *source) check() error {
	info, err := os.Stat(s.path)
	if err == nil && os.SameFile(info, s.file) {
		return nil
	}
	return errReplaced
}
