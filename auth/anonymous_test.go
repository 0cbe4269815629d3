package auth_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

const guestUUID = "3e8b6f0c-0d4e-4a6e-9d0a-0a4c5a1b2c3d"

var guestIDs = regexp.MustCompile(`^guest-[a-z2-7]{26}$`)

func TestAnonymousIsNewEachTime(t *testing.T) {
	a := auth.Anonymous()
	seen := map[string]bool{}
	for range 100 {
		user, err := a(request())
		require.NoError(t, err)
		require.Regexp(t, guestIDs, user.ID)
		require.Equal(t, "Guest "+user.ID[6:11], user.Name)
		require.True(t, user.HasRole("guest"))
		require.True(t, user.Expires.IsZero())
		require.False(t, seen[user.ID])
		seen[user.ID] = true
	}
}

func TestAnonymousKeepsWhoBringsASecret(t *testing.T) {
	first, err := auth.Anonymous()(bearing(guestUUID))
	require.NoError(t, err)
	again, err := auth.Anonymous()(bearing(guestUUID)) // as after a restart
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Regexp(t, guestIDs, first.ID)
	require.NotContains(t, first.ID, guestUUID[:8])

	renamed, err := auth.Anonymous()(bearing(guestUUID + ":Ada"))
	require.NoError(t, err)
	require.Equal(t, first.ID, renamed.ID, "a name is not part of who one is")

	other, err := auth.Anonymous()(bearing(guestUUID + "x"))
	require.NoError(t, err)
	require.NotEqual(t, first.ID, other.ID)
}

// What others could guess must not lead to a known identity.
func TestAnonymousIgnoresWeakSecrets(t *testing.T) {
	a := auth.Anonymous()
	for _, weak := range []string{"alice", "short-secret-15", strings.Repeat("a", 64), strings.Repeat("ab", 16), ":Ada", "x:" + guestUUID} {
		one, err := a(bearing(weak))
		require.NoError(t, err)
		two, err := a(bearing(weak))
		require.NoError(t, err)
		require.Regexp(t, guestIDs, one.ID)
		require.NotEqual(t, one.ID, two.ID, weak)
	}
}

func TestAnonymousTakesNoIdentityFromTheURL(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/ws?user=alice&id=alice&name=Alice&token="+guestUUID, nil)
	r.Header.Set("X-Gabble-User", "alice")
	r.SetBasicAuth("alice", guestUUID)
	user, err := auth.Anonymous()(r)
	require.NoError(t, err)
	require.Regexp(t, guestIDs, user.ID)
	require.NotContains(t, strings.ToLower(user.Name), "alice")
}

func TestAnonymousNames(t *testing.T) {
	def, err := auth.Anonymous()(bearing(guestUUID))
	require.NoError(t, err)
	for shown, want := range map[string]string{
		"Ada":                            "Ada (guest)",
		"Ada%20Lovelace":                 "Ada Lovelace (guest)",
		"%C3%89mile":                     "Émile (guest)",
		"a:b":                            "a:b (guest)",
		strings.Repeat("a", 64):          strings.Repeat("a", 64) + " (guest)",
		strings.Repeat("%C3%A9", 64):     strings.Repeat("é", 64) + " (guest)",
		strings.Repeat("a", 65):          def.Name,
		"":                               def.Name,
		"%20%20":                         def.Name,
		"%zz":                            def.Name, // not an encoding
		"%ff":                            def.Name, // not UTF-8
		"a%00b":                          def.Name,
		"a%0Ab":                          def.Name,
		"admin%E2%80%AE":                 def.Name, // turns the writing direction
		"ad%E2%80%8Bmin":                 def.Name, // zero width
		"%3Cscript%3Ealert(1)%3C/script": "<script>alert(1)</script (guest)",
	} {
		user, err := auth.Anonymous()(bearing(guestUUID + ":" + shown))
		require.NoError(t, err)
		require.Equal(t, want, user.Name)
		require.Equal(t, def.ID, user.ID)
	}
}

func TestAnonymousConcurrently(t *testing.T) {
	a := auth.Anonymous()
	want, err := a(bearing(guestUUID))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if user, err := a(bearing(guestUUID)); err != nil || user.ID != want.ID {
					t.Errorf("got %v, %v", user, err)
				}
			}
		})
	}
	wg.Wait()
}
