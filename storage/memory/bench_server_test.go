package memory_test

import (
	"testing"

	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// BenchmarkServer is what a server can do at most, with a store that takes
// next to no time.
func BenchmarkServer(b *testing.B) { storagetest.BenchServer(b, memory.New()) }
