package storagetest

import (
	"testing"

	"github.com/gabblehq/chat"
)

// Rewinder is a [Harness] of a store whose data can come back as it was
// earlier: from a backup, after the crash of what was asynchronous, by a
// failover. Each time, and with each restart, a new life of the data begins.
type Rewinder interface {
	// OpenRewinding is Open for a store on a server, or a file, of its own.
	OpenRewinding(t testing.TB) Rewinding
}

// Rewinding is a store whose data can be put back. Its methods are called one
// after the other, and while nothing is under way in the store. They fail the
// test by t.
type Rewinding interface {
	// Store returns the store. After Restart and Rewind it is asked for again:
	// it may be the same, which has stayed open meanwhile, or the data opened
	// anew. It answers by then.
	Store() chat.Store
	// Mark notes all that is in the store now, in place of what it has noted
	// before.
	Mark(t testing.TB)
	// Rewind has all be again as it was at the last Mark, in a new life.
	Rewind(t testing.TB)
	// Restart has a new life begin with all that is in the store.
	Restart(t testing.TB)
}
