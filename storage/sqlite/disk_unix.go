//go:build linux || darwin || freebsd

package sqlite

import (
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// volume is how many bytes the volume of a file has left for us, and how many
// it holds in all. known is false where the system does not say.
func volume(path string) (free, total int64, known bool) {
	var v unix.Statfs_t
	if unix.Statfs(path, &v) != nil {
		return 0, 0, false
	}
	return int64(v.Bavail) * int64(v.Bsize), int64(v.Blocks) * int64(v.Bsize), true //nolint:unconvert // the types differ between systems
}

// mountPoint is where the volume of a file begins.
func mountPoint(path string) string {
	dir := filepath.Dir(path)
	dev, ok := device(dir)
	for ok {
		up := filepath.Dir(dir)
		if above, known := device(up); up == dir || !known || above != dev {
			break
		}
		dir = up
	}
	return dir
}

func device(path string) (uint64, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(s.Dev), true //nolint:unconvert // as above
}
