package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/leak"
	"github.com/gabblehq/chat/internal/redistest"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestRestartKeepsPersistedData(t *testing.T) {
	s := redistest.Start(t, "appendonly yes", "appendfsync always")
	c := s.Client()
	defer c.Close()
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Kill()
	require.Error(t, c.Ping(t.Context()).Err())
	s.Restart()
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())
}

func TestReplicaFollows(t *testing.T) {
	s := redistest.Start(t)
	r := redistest.Replica(t, s)
	c, rc := s.Client(), r.Client()
	defer c.Close()
	defer rc.Close()
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	n, err := c.Wait(t.Context(), 1, 0).Result()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, "v", rc.Get(t.Context(), "k").Val())
}

func TestClusterServesAllSlots(t *testing.T) {
	c := redistest.Cluster(t).Client()
	defer c.Close()
	for _, k := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		require.NoError(t, c.Set(t.Context(), k, k, 0).Err())
		require.Equal(t, k, c.Get(t.Context(), k).Val())
	}
}
