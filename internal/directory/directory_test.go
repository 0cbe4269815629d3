package directory_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat/internal/directory"
)

type entry struct {
	key  string
	next *entry
}

func (e *entry) Key() string   { return e.key }
func (e *entry) Next() **entry { return &e.next }

// The directory agrees with a map of lists, whatever is added and removed.
func TestDirectoryFindsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := directory.New[*entry]()
		model := map[string][]*entry{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			key := fmt.Sprint("key-", rapid.IntRange(0, 60).Draw(t, "key"))
			list := model[key]
			if len(list) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				d.Remove(list[i], key)
				d.Remove(list[i], key) // no harm
				model[key] = append(list[:i:i], list[i+1:]...)
				continue
			}
			e := &entry{key: key}
			surplus := d.Add(e, 4)
			list = append([]*entry{e}, list...)
			if len(list) > 4 {
				require.Same(t, list[4], surplus)
				list = list[:4]
			} else {
				require.Nil(t, surplus)
			}
			model[key] = list
		}
		keys, all := 0, 0
		for key, list := range model {
			require.Equal(t, list, append([]*entry{}, d.Under(key)...))
			if len(list) > 0 {
				keys++
				require.Same(t, list[0], d.Latest(key))
			} else {
				require.Nil(t, d.Latest(key))
			}
			all += len(list)
		}
		require.Equal(t, keys, d.Len())
		require.Len(t, d.All(), all)
	})
}
