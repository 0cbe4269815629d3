package chat

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The directory agrees with a map of lists, whatever is added and removed.
func TestDirectoryFindsWhoIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &directory{}
		d.init()
		model := map[string][]*session{}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			id := fmt.Sprint("user-", rapid.IntRange(0, 60).Draw(t, "user"))
			list := model[id]
			if len(list) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				d.remove(list[i], id)
				model[id] = append(list[:i:i], list[i+1:]...)
			} else {
				s := &session{}
				s.who.Store(newIdentity(&User{ID: id}))
				surplus := d.add(s, id, 4)
				list = append([]*session{s}, list...)
				if len(list) > 4 {
					require.Same(t, list[4], surplus)
					list = list[:4]
				} else {
					require.Nil(t, surplus)
				}
				model[id] = list
			}
		}
		users, all := 0, 0
		for id, list := range model {
			require.Len(t, d.sessions(id), len(list))
			for i, s := range d.sessions(id) {
				require.Same(t, list[i], s)
			}
			if len(list) > 0 {
				users++
				require.Equal(t, id, d.who(id).id())
			} else {
				require.Nil(t, d.who(id))
			}
			all += len(list)
		}
		require.Equal(t, users, d.size())
		require.Len(t, d.all(), all)
	})
}
