//go:build !linux && !darwin && !freebsd && !windows

package sqlite

import "path/filepath"

// volume is not known on this system.
func volume(string) (free, total int64, known bool) { return 0, 0, false }

// mountPoint is as near as can be told.
func mountPoint(path string) string { return filepath.Dir(path) }
