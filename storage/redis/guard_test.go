package redis_test

import (
	"context"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
)

// rudeHook is a hook of a host's client that panics so many times: before the
// commands go out, or when they are done.
type rudeHook struct{ before, after atomic.Int32 }

func (h *rudeHook) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *rudeHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *rudeHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if h.before.Add(-1) >= 0 {
			panic("a hook, before")
		}
		err := next(ctx, cmds)
		if h.after.Add(-1) >= 0 {
			panic("a hook, after")
		}
		return err
	}
}

// A panic inside the client that the host has built is an error of the call.
func TestHostsHookThatPanicsEndsNothing(t *testing.T) {
	srv := redistest.Start(t)
	o, err := goredis.ParseURL(srv.URL())
	require.NoError(t, err)
	client := goredis.NewClient(o)
	defer func() { _ = client.Close() }()
	var hook rudeHook
	client.AddHook(&hook)
	s, err := redis.NewWith(client, redis.Options{Prefix: "rude"})
	require.NoError(t, err)
	ctx := t.Context()
	send := func(nonce string) ([]chat.Result, error) {
		return s.Append(ctx, "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreate, Message: chat.Message{
			ID: nonce, User: "u", Kind: chat.KindRegular, Content: "x", Nonce: nonce,
		}}})
	}
	_, err = s.Append(ctx, "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{Kind: chat.RoomPublic}}})
	require.NoError(t, err)
	for i, arm := range []*atomic.Int32{&hook.before, &hook.after} {
		arm.Store(1)
		_, err = send([]string{"a", "b"}[i])
		require.ErrorIs(t, err, chat.ErrUnknown)
		arm.Store(1)
		_, err = s.History(ctx, "r", chat.Query{Limit: 10})
		require.ErrorIs(t, err, chat.ErrUnavailable)
		results, err := send([]string{"a", "b"}[i])
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
	}
	page, err := s.History(ctx, "r", chat.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Messages, 2)
	require.NoError(t, s.Close(), "nothing is left behind")

	l := redis.NewLimiter(client, redis.LimiterOptions{Prefix: "rude"})
	hook.before.Store(1)
	_, err = l.Allow(ctx, "k", chat.Rate{PerSecond: 1, Burst: 5})
	require.NoError(t, err)
	require.NoError(t, l.Close(), "which settles")
	require.EqualValues(t, 1, l.Failures())
}
