package sqlite_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/storage/sqlite"
)

// A server over a backup that has been put back starts those over who have
// seen what is gone, and nobody else.
func TestReadersAfterGoingBack(t *testing.T) {
	ctx := t.Context()
	quiet := slog.New(slog.DiscardHandler)
	path := file(t)
	serve := func() (*chattest.Server, kept) {
		s := open(t, path, sqlite.Options{Logger: quiet})
		return chattest.New(t, &chat.Options{Store: s, Logger: quiet}), s
	}
	end := func(srv *chattest.Server, s kept) {
		require.NoError(t, srv.Close())
		require.NoError(t, s.Close())
	}
	send := func(srv *chattest.Server, texts ...string) {
		for _, text := range texts {
			_, err := srv.Room("a").Send(ctx, chat.Message{User: "bob", Content: text})
			require.NoError(t, err)
		}
	}
	contents := func(list []chat.Message) (texts []string) {
		for _, m := range list {
			texts = append(texts, m.Content)
		}
		return texts
	}

	srv, s := serve()
	_, err := srv.Room("a").Create(ctx, chat.RoomInfo{Kind: chat.RoomPublic})
	require.NoError(t, err)
	send(srv, "1", "2")
	low := srv.Dial("alice").Join("a")
	require.Equal(t, []string{"1", "2"}, contents(low.Messages))
	end(srv, s)
	put(t, path, path+".kept", 0)

	srv, s = serve()
	send(srv, "gone", "gone too")
	high := srv.Dial("alice").Join("a")
	require.Len(t, high.Messages, 4)
	end(srv, s)
	put(t, path+".kept", path, 0)

	srv, s = serve()
	send(srv, "3", "4", "5")
	c := srv.Dial("alice")
	joined := c.Resume("a", low.Epoch, low.Head)
	require.False(t, joined.Reset, "it has seen nothing of what is gone")
	for _, text := range []string{"3", "4", "5"} {
		require.Equal(t, text, c.Expect("message").Message.Content)
	}
	require.Equal(t, joined.Epoch, c.Expect("synced").Epoch)
	joined = srv.Dial("alice").Resume("a", high.Epoch, high.Head)
	require.True(t, joined.Reset)
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, contents(joined.Messages))

	follow := func(at chat.Position, n int) (texts []string, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for e, err := range srv.Room("a").Changes(ctx, at) {
			if err != nil {
				return texts, err
			}
			if texts = append(texts, e.Message.Content); len(texts) == n {
				break
			}
		}
		return texts, nil
	}
	texts, err := follow(chat.Position{Epoch: low.Epoch, Rev: low.Head}, 3)
	require.NoError(t, err)
	require.Equal(t, []string{"3", "4", "5"}, texts)
	_, err = follow(chat.Position{Epoch: high.Epoch, Rev: high.Head}, 1)
	require.ErrorIs(t, err, chat.ErrReset)

	end(srv, s)
	srv, _ = serve() // in order
	send(srv, "6")
	c = srv.Dial("alice")
	require.False(t, c.Resume("a", joined.Epoch, joined.Head).Reset, "a start resets nobody")
	require.Equal(t, "6", c.Expect("message").Message.Content)
}
