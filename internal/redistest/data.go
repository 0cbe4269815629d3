package redistest

import (
	"context"
	"os"
	"path/filepath"
)

// A Copy is all that a server would have after a restart.
type Copy struct{ dir string }

// Copy makes one of the data as it is now, of a server without persistence as
// well. Nothing may be written meanwhile.
func (s *Server) Copy() Copy {
	s.t.Helper()
	s.keep()
	dir := s.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.data())); err != nil {
		s.t.Fatal(err)
	}
	return Copy{dir}
}

// PutBack ends the server and starts it again on the copy.
func (s *Server) PutBack(c Copy) {
	s.t.Helper()
	s.Kill()
	if err := os.RemoveAll(s.data()); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(s.data(), os.DirFS(c.dir)); err != nil {
		s.t.Fatal(err)
	}
	s.Restart()
}

// Reboot ends the server and starts it again without loss.
func (s *Server) Reboot() {
	s.t.Helper()
	s.keep()
	s.Restart()
}

// keep has all be in files.
func (s *Server) keep() {
	s.t.Helper()
	c := s.Client()
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	if InfoField(ctx, c, "persistence", "aof_enabled") == "1" {
		s.await("the log to be written", func(ctx context.Context) bool {
			return InfoField(ctx, c, "persistence", "aof_buffer_length") == "0"
		})
		return
	}
	if err := c.Save(ctx).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// data is where the server keeps what it persists.
func (s *Server) data() string { return filepath.Join(s.dir, "data") }
