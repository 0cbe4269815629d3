package hub

import "time"

// Thousands of sinks that come back at once have mostly the same cursors, but
// not at the same moment. So pages are kept for a little while, for whoever
// asks for the same while nothing has been added to the topic.

const (
	keptFor   = time.Second
	keptPages = 256
	keptBytes = 4 << 20
)

// keptPage is a page that may be asked for again.
type keptPage struct {
	page   *sharedPage
	packed bool // it has the second encoding, too
	until  time.Time
}

// keep holds on to a page that has been read. The lock is held.
func (f *filler) keep(key fillKey, page *sharedPage, packed bool) {
	size := 0
	for _, fr := range page.Frames {
		size += len(fr.Data)
	}
	if page.Reset || size > keptBytes/4 {
		return
	}
	if len(f.kept) >= keptPages || f.keptSize+size > keptBytes {
		f.drop()
	}
	if f.kept == nil {
		f.kept = make(map[fillKey]keptPage)
	}
	if _, again := f.kept[key]; !again {
		f.keptSize += size
	}
	f.kept[key] = keptPage{page, packed, time.Now().Add(keptFor)}
}

// recall returns the page, or nil if it has to be read. The lock is held.
func (f *filler) recall(key fillKey, packed bool) *sharedPage {
	k, ok := f.kept[key]
	if !ok || packed && !k.packed || !time.Now().Before(k.until) {
		return nil
	}
	if epoch, head := key.topic.Head(); epoch != k.page.Epoch || head != k.page.Through || key.epoch != epoch {
		return nil
	}
	return k.page
}

// drop lets go of all pages. The lock is held.
func (f *filler) drop() { f.kept, f.keptSize = nil, 0 }
