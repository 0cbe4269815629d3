package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// TestDocumentedUserMayDoEverything runs as the ACL user of the package's
// documentation.
func TestDocumentedUserMayDoEverything(t *testing.T) {
	srv := redistest.Start(t)
	acl := []any{"acl", "setuser", "chat", "on", ">secret", "~gabble:*", "&gabble:*"}
	for _, rule := range strings.Fields("+@read +@write +@connection +@scripting +@pubsub +info +time +wait +cluster|slots +cluster|shards") {
		acl = append(acl, rule)
	}
	require.NoError(t, client(t, srv).Do(t.Context(), acl...).Err())
	s := open(t, "redis://chat:secret@"+srv.Addr, redis.Options{MaxMessages: 2})
	e := watch(t, s)
	add(t, s, "r", creation("r"))
	for _, nonce := range []string{"1", "2", "3", "3"} {
		add(t, s, "r", message(nonce))
	}
	select {
	case <-e.hints:
	case <-time.After(bound):
		require.FailNow(t, "no hint")
	}
	_, _, err := s.Attend(t.Context(), "n", time.Minute, []chat.Attendance{{Room: "r", User: chat.User{ID: "alice"}}})
	require.NoError(t, err)
	all, err := s.Attendances(t.Context(), []string{"r"})
	require.NoError(t, err)
	require.Len(t, all, 1)
	rooms, _, err := s.ListRooms(t.Context(), "", "", 10)
	require.NoError(t, err)
	require.Len(t, rooms, 1)
	require.NoError(t, s.Signal(t.Context(), "r", []byte("x")))
	_, err = s.NewEpoch(t.Context(), "r")
	require.NoError(t, err)
	require.NoError(t, s.RemoveRoom(t.Context(), "r"))

	_, err = redis.OpenWith(t.Context(), "redis://chat:wrong@"+srv.Addr, redis.Options{})
	require.ErrorIs(t, err, chat.ErrUnavailable)
	other := open(t, "redis://chat:secret@"+srv.Addr, redis.Options{Prefix: "other"})
	_, err = other.Append(t.Context(), "r", chat.Position{}, []chat.Change{creation("r")})
	require.Error(t, err)
}
