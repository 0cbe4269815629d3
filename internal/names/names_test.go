package names_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/names"
	"github.com/gabblehq/chat/internal/wire"
)

func nobody(string) *names.Identity { return nil }

func user(id, name string) wire.User { return wire.User{ID: id, Name: name} }

// TestIdentitySaysWhatItWasMadeOf, and keeps nothing else of it.
func TestIdentitySaysWhatItWasMadeOf(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(names.Identity{}), uintptr(32), "there is one for each connection")
	roles := []string{"admin"}
	who := names.NewIdentity(wire.User{ID: "alice", Name: "Alice", Avatar: "/a"}, roles, 7, 0)
	roles[0] = "changed"
	require.Equal(t, wire.User{ID: "alice", Name: "Alice", Avatar: "/a"}, who.Public())
	require.Equal(t, []string{"admin"}, who.Roles())
	require.Equal(t, 7, who.Meta())
	end, ever := who.End()
	require.True(t, ever)
	require.Zero(t, end)
	_, ever = names.NewIdentity(user("bob", ""), nil, nil, names.Never).End()
	require.False(t, ever)

	large := strings.Repeat("x", 1<<10)
	for _, u := range []wire.User{user(large[:3], ""), user(large[:3], large[3:6])} {
		id := names.NewIdentity(u, nil, nil, names.Never).ID()
		require.NotSame(t, unsafe.StringData(large), unsafe.StringData(id), "it would keep all of it")
	}
}

// TestTheLookupIsAskedForWhatIsNotKnown, once for a while.
func TestTheLookupIsAskedForWhatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		alice := names.NewIdentity(user("alice", "Alice"), nil, nil, names.Never)
		c := names.New(func(id string) *names.Identity {
			if id == "alice" {
				return alice
			}
			return nil
		}, func(_ context.Context, ids []string) ([]wire.User, error) {
			asked = append(asked, ids...)
			return []wire.User{user("bob", "Bob"), user("eve", "not asked for")}, nil
		})
		c.Remote(user("dave", "Dave"))
		for range 2 {
			who := c.Many(t.Context(), []string{"alice", "bob", "carol", "dave", "bob", ""})
			for id, name := range map[string]string{"alice": "Alice", "bob": "Bob", "carol": "", "dave": "Dave"} {
				require.Equal(t, user(id, name), who(id))
			}
		}
		require.Equal(t, []string{"bob", "carol"}, asked)
		require.Equal(t, "Bob", c.Known("bob").Name)
		require.Empty(t, c.Known("eve").Name)
		time.Sleep(time.Minute)
		require.Equal(t, "Bob", c.One(t.Context(), "bob").Name)
		require.Equal(t, []string{"bob", "carol", "bob"}, asked)
		require.Equal(t, "Dave", c.One(t.Context(), "dave").Name, "who has no better name keeps it")
		require.Equal(t, []string{"bob", "carol", "bob", "dave"}, asked)
	})
}

// TestNobodyWaitsForALookupThatHangs, or suffers from one that errs or panics.
func TestNobodyWaitsForALookupThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		c := names.New(nobody, func(ctx context.Context, ids []string) ([]wire.User, error) {
			switch calls.Add(1) {
			case 1:
				<-ctx.Done()
				return nil, ctx.Err()
			case 2:
				return nil, errors.New("no")
			case 3:
				panic("no")
			}
			return []wire.User{user(ids[0], "Bob")}, nil
		})
		began := time.Now()
		require.Equal(t, user("bob", ""), c.Soon(t.Context(), []string{"bob"})("bob"))
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		time.Sleep(2 * time.Second)
		require.Equal(t, user("bob", ""), c.Soon(t.Context(), []string{"bob"})("bob"))
		require.EqualValues(t, 1, calls.Load(), "it was slow")
		for range 2 {
			require.Empty(t, c.One(t.Context(), "bob").Name)
			time.Sleep(time.Second)
		}
		require.Equal(t, "Bob", c.One(t.Context(), "bob").Name)
	})
}

// TestRemoteRecordsAreShared, until they change.
func TestRemoteRecordsAreShared(t *testing.T) {
	c := names.New(nobody, nil)
	a := c.Remote(user("alice", "Alice"))
	require.Same(t, a, c.Remote(user("alice", "Alice")))
	require.NotSame(t, a, c.Remote(user("alice", "Al")))
	require.Equal(t, "Al", c.Known("alice").Name)
	for i := range 70_000 {
		c.Remote(user(fmt.Sprint(i), "N"))
	}
	kept := 0
	for i := range 70_000 {
		if c.Known(fmt.Sprint(i)).Name != "" {
			kept++
		}
	}
	require.LessOrEqual(t, kept, 64<<10)
}
