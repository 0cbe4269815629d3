package chat_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/memory"
)

// partly is a store that answers nothing about some rooms until the call is given
// up, as one does of which a part is out of reach.
type partly struct{ chat.Store }

func (s partly) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	if strings.HasPrefix(room, "far") && q.Limit > 0 {
		<-ctx.Done()
		return chat.Page{}, chat.ErrUnavailable
	}
	return s.Store.History(ctx, room, q)
}

// Rooms that cannot be read hold up nobody who reads others: what is reserved for
// a read that the store keeps waiting is not held.
func TestReadsThatWaitForTheStoreHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := chattest.New(t, &chat.Options{Store: partly{memory.New()}})
		for i := range 150 {
			room := srv.Room(fmt.Sprint("far", i))
			_, err := room.Create(t.Context(), chat.RoomInfo{})
			require.NoError(t, err)
			srv.Dial(fmt.Sprint("u", i)).Do(map[string]any{"type": "join", "room": room.ID(), "history": 200})
		}
		alice := srv.Dial("alice")
		began := time.Now()
		require.Equal(t, "joined", alice.Call(map[string]any{"type": "join", "room": "near"}).Type)
		require.Less(t, time.Since(began), time.Second)
		time.Sleep(time.Minute) // the others are told
	})
}
