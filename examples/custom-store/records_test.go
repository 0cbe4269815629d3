package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/storage"
)

// What the chat does not ask for yet is kept just so, after a restart, too.
func TestRecords(t *testing.T) {
	s := open(t, t.TempDir())
	commit := func(writes ...storage.Write) storage.Outcome {
		t.Helper()
		out, err := s.Commit(t.Context(), "r", storage.Position{}, storage.Tx{Make: true, Decide: func(storage.View) []storage.Write { return writes }})
		require.NoError(t, err)
		return out
	}
	keys := func(recs []storage.Record) (keys []string) {
		for i := range recs {
			keys = append(keys, recs[i].Key)
		}
		return keys
	}
	list := func(name string) []string {
		t.Helper()
		p, err := s.Read(t.Context(), "r", storage.Query{List: name, Limit: 9})
		require.NoError(t, err)
		return keys(p.Records)
	}
	put := func(key string, lists ...string) storage.Write {
		return storage.Write{Key: key, Body: []byte(`{ }`), Logged: true, Lists: lists}
	}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	a := put("a", "", "pins")
	a.At = at
	out := commit(a, put("b", ""), put("c", "pins"), storage.Write{Key: "x", Body: []byte(`{}`)}, storage.Write{Key: "n", Body: []byte(`{}`), Like: "a"})
	require.EqualValues(t, []int64{3, 2}, []int64{out.Head.Rev, out.Head.Seq})
	require.Zero(t, out.Writes[3].Rev, "it is not logged")
	require.Equal(t, out.Writes[0], out.Writes[4], "it is like the other")

	commit(storage.Write{Key: "a", Body: []byte(`{}`), Logged: true, Leaves: []string{"pins"}, Lists: []string{""}})
	require.Equal(t, []string{"c"}, list("pins"))
	require.Equal(t, []string{"a", "b"}, list(""), "it stays where it stood")
	require.EqualValues(t, 3, commit(storage.Write{Key: "a", Body: []byte(`{}`), Lists: []string{"pins"}}).Writes[0].Places[1].Seq, "no place is given out again")

	commit(storage.Write{Key: "a", Logged: true}, storage.Write{Key: "x"})
	for range 2 {
		require.Equal(t, []string{"b"}, list(""))
		require.Equal(t, []string{"c"}, list("pins"))
		p, err := s.Changes(t.Context(), "r", 0, 9, "x", "n", "a")
		require.NoError(t, err)
		require.Equal(t, []string{"b", "c", "a"}, keys(p.Records))
		require.Nil(t, p.Records[2].Body, "it has been removed")
		require.Equal(t, `{ }`, string(p.Records[0].Body))
		require.Equal(t, []string{"n"}, keys(p.Keyed))
		require.Equal(t, storage.Record{
			Key: "n", Rev: 1, FirstRev: 1, Places: []storage.Place{{Seq: 1}, {List: "pins", Seq: 1}}, At: at, Like: "a", Body: []byte(`{}`),
		}, p.Keyed[0])
		s = open(t, s.dir)
	}
	require.Equal(t, storage.Written{Rev: 6, FirstRev: 6, Places: []storage.Place{{Seq: 3}}}, commit(put("a", "")).Writes[0], "it is another one")
}
