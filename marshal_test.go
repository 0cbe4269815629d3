package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gabblehq/chat"
)

func TestMessagesAndRoomsMarshalAsOnTheWire(t *testing.T) {
	srv := newServer(t, chat.Options{})
	info, err := srv.Room("r").Create(t.Context(), chat.RoomInfo{Title: "T", Meta: json.RawMessage(`{"a":1}`), CreatedBy: "alice"})
	require.NoError(t, err)
	m, err := srv.Room("r").Send(t.Context(), chat.Message{User: "alice", Content: "<x> & \"y\"", Nonce: "n", Mentions: []string{"bob"},
		Attachments: []chat.Attachment{{URL: "/x", Size: 7}}, Meta: json.RawMessage(`{"b":[2]}`)})
	require.NoError(t, err)
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.JSONEq(t, asked(t, srv, "GET", "/rooms/r/messages/"+m.ID, "").Body.String(), string(b))

	b, err = json.Marshal(info)
	require.NoError(t, err)
	var mine, theirs map[string]any
	require.NoError(t, json.Unmarshal(b, &mine))
	require.NoError(t, json.Unmarshal(asked(t, srv, "GET", "/rooms/r", "").Body.Bytes(), &theirs))
	delete(theirs, "online")
	require.Equal(t, "alice", mine["created_by"], "what the host alone is told")
	delete(mine, "created_by")
	require.Equal(t, theirs, mine)
}

func TestMarshalAndBack(t *testing.T) {
	// U+0000 crosses no wire.
	text := rapid.Custom(func(t *rapid.T) string { return strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "") })
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC()
	})
	meta := rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{}`), json.RawMessage(`{"a":["b",1]}`)})
	list := func(t *rapid.T, name string) []string {
		if l := rapid.SliceOfN(text, 0, 3).Draw(t, name); len(l) > 0 {
			return l
		}
		return nil
	}
	rapid.Check(t, func(t *rapid.T) {
		m := chat.Message{
			ID: text.Draw(t, "id"), Room: text.Draw(t, "room"), Seq: rapid.Int64Range(0, 1<<53-1).Draw(t, "seq"), Rev: rapid.Int64Range(0, 1<<53-1).Draw(t, "rev"),
			FirstRev: rapid.Int64Range(0, 9).Draw(t, "first"), User: text.Draw(t, "user"), Kind: chat.MessageKind(text.Draw(t, "kind")), Content: text.Draw(t, "content"),
			Nonce: text.Draw(t, "nonce"), CreatedAt: when.Draw(t, "created"), EditedAt: when.Draw(t, "edited"), DeletedAt: when.Draw(t, "deleted"),
			ReplyTo: text.Draw(t, "reply"), Thread: text.Draw(t, "thread"), Mentions: list(t, "mentions"), Meta: meta.Draw(t, "meta"),
		}
		if rapid.Bool().Draw(t, "attached") {
			m.Attachments = []chat.Attachment{{URL: text.Draw(t, "url"), Name: text.Draw(t, "name"), Size: 5, Width: 6, Meta: meta.Draw(t, "attached meta")}}
		}
		b, err := json.Marshal(m)
		require.NoError(t, err)
		var again chat.Message
		require.NoError(t, json.Unmarshal(b, &again))
		require.Equal(t, m, again)

		r := chat.RoomInfo{
			ID: text.Draw(t, "id"), Kind: chat.RoomKind(text.Draw(t, "kind")), Title: text.Draw(t, "title"), Topic: text.Draw(t, "topic"), Avatar: text.Draw(t, "avatar"),
			Peers: list(t, "peers"), Meta: meta.Draw(t, "meta"), CreatedBy: text.Draw(t, "by"), CreatedAt: when.Draw(t, "created"), Rev: rapid.Int64Range(0, 1<<53-1).Draw(t, "rev"),
		}
		b, err = json.Marshal(r)
		require.NoError(t, err)
		var room chat.RoomInfo
		require.NoError(t, json.Unmarshal(b, &room))
		require.Equal(t, r, room)
	})
}

// A consumer learns from each entry where it is, also from the beginning.
func TestEntriesOfChangesSayWhereTheyAre(t *testing.T) {
	srv := newServer(t, chat.Options{})
	room := srv.Room("r")
	_, err := room.Create(t.Context(), chat.RoomInfo{})
	require.NoError(t, err)
	for _, content := range []string{"a", "b", "c"} {
		_, err := room.Send(t.Context(), chat.Message{User: "alice", Content: content})
		require.NoError(t, err)
	}
	read := func(at chat.Position, n int) (positions []chat.Position, contents []string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for e, err := range room.Changes(ctx, at) {
			if errors.Is(err, context.Canceled) {
				break
			}
			require.NoError(t, err)
			require.NotEmpty(t, e.Position.Epoch)
			require.Equal(t, e.Rev, e.Position.Rev)
			positions = append(positions, e.Position)
			if e.Message != nil {
				contents = append(contents, e.Message.Content)
			}
			if len(positions) == n {
				break
			}
		}
		return positions, contents
	}
	positions, contents := read(chat.Position{}, 4)
	require.Equal(t, []string{"a", "b", "c"}, contents)
	for i, at := range positions[:3] {
		_, rest := read(at, 3-i)
		require.Equal(t, []string{"a", "b", "c"}[i:], rest, "from %v", at)
	}
	for e, err := range room.Changes(t.Context(), chat.Position{Epoch: "another", Rev: 1}) {
		require.ErrorIs(t, err, chat.ErrReset, "%v", e)
	}
}
