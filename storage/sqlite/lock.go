package sqlite

import (
	"os"

	"github.com/gabblehq/chat"
)

// fileLock keeps others from the database for as long as this process lives:
// however that ends, the system lets go of it. It is on a file of its own,
// because closing any descriptor of the database's would drop SQLite's locks.
// The file stays: another may already be waiting to lock it.
type fileLock struct{ file *os.File }

// acquire refuses a database that is in use.
func acquire(path string) (*fileLock, error) {
	f, err := os.OpenFile(path+"-lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, chat.Errorf(chat.CodeUnavailable, "sqlite: %s cannot be locked: %v", path, err)
	}
	held, err := tryLock(f)
	if err == nil && !held {
		return &fileLock{f}, nil
	}
	_ = f.Close()
	if err != nil {
		return nil, chat.Errorf(chat.CodeUnavailable, "sqlite: %s cannot be locked: %v", path, err)
	}
	return nil, chat.Errorf(chat.CodeConflict, "sqlite: %s is in use, by another process or by a Store of this one that has not been closed; "+
		"stop that one first, give this one a file of its own, or use storage/postgres or storage/redis for several servers", path)
}

func (l *fileLock) release() { _ = l.file.Close() }
