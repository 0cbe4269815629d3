package sqlite

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// volume is how many bytes the volume of a file has left for us, and how many
// it holds in all. known is false where the system does not say.
func volume(path string) (free, total int64, known bool) {
	dir, err := windows.UTF16PtrFromString(filepath.Dir(path))
	if err != nil {
		return 0, 0, false
	}
	var left, all uint64
	if windows.GetDiskFreeSpaceEx(dir, &left, &all, nil) != nil {
		return 0, 0, false
	}
	return int64(left), int64(all), true
}

// mountPoint is where the volume of a file begins.
func mountPoint(path string) string { return filepath.VolumeName(path) }
