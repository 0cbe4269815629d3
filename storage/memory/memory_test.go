package memory_test

import (
	"testing"
	"time"

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

func (harness) OpenAging(_ testing.TB, age time.Duration) (chat.Store, func(time.Duration)) {
	s := memory.NewWith(memory.Options{MaxAge: age})
	return s, s.Leap
}

func TestStore(t *testing.T) { storagetest.Run(t, harness{}) }

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, harness{}) }
