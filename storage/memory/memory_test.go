package memory_test

import (
	"testing"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/memory"
	"github.com/gabblehq/chat/storage/storagetest"
)

// harness opens stores that cannot be reopened or shared, but trim.
type harness struct{}

func (harness) Open(testing.TB) chat.Store { return memory.New() }

func (harness) OpenTrimming(_ testing.TB, messages int) chat.Store {
	return memory.NewWith(memory.Options{MaxMessages: messages})
}

func TestStore(t *testing.T) { storagetest.Run(t, harness{}) }

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, harness{}) }
