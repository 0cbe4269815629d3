package auth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

const (
	apiKey      = "4f0d8c1b2a6e4f7d9b3c5e8a1d2f6b7c"
	otherAPIKey = "9a1c3e5f7b2d4f6a8c0e1b3d5f7a9c2e"
)

// acting is a request with an API key, for the users named.
func acting(key string, users ...string) *http.Request {
	r := request()
	if key != "" {
		r = bearing(key)
	}
	for _, u := range users {
		r.Header.Add(auth.UserHeader, u)
	}
	return r
}

func TestAPIKey(t *testing.T) {
	a := auth.APIKey(map[string]string{"billing": apiKey, "support": otherAPIKey}, nil)
	for key, name := range map[string]string{apiKey: "billing", otherAPIKey: "support"} {
		user, err := a(acting(key, "alice"))
		require.NoError(t, err)
		require.Equal(t, chat.User{ID: "alice", Roles: []string{"api", "api:" + name}}, user)
	}
	for name, r := range map[string]*http.Request{
		"no key":          acting("", "alice"),
		"wrong key":       acting(strings.Repeat("a", 32), "alice"),
		"prefix of a key": acting(apiKey[:31], "alice"),
		"more than a key": acting(apiKey+"0", "alice"),
		"two keys in one": acting(apiKey+otherAPIKey, "alice"),
		"key's name":      acting("billing", "alice"),
		"other case":      acting(strings.ToUpper(apiKey), "alice"),
		"two users":       acting(apiKey, "alice", "bob"),
		"same user twice": acting(apiKey, "alice", "alice"),
		"empty user":      acting(apiKey, ""),
		"long user":       acting(apiKey, strings.Repeat("a", 129)),
		"line break":      acting(apiKey, "a\nb"),
		"not UTF-8":       acting(apiKey, "a\xff"),
		"two keys": func() *http.Request {
			r := request("Bearer "+apiKey, "Bearer "+apiKey)
			r.Header.Set(auth.UserHeader, "alice")
			return r
		}(),
		"basic": func() *http.Request {
			r := request("Basic " + apiKey)
			r.Header.Set(auth.UserHeader, "alice")
			return r
		}(),
		"user in the query": func() *http.Request { r := acting(apiKey); r.URL.RawQuery = "X-Gabble-User=alice&user=alice"; return r }(),
	} {
		user, err := a(r)
		t.Run(name, func(t *testing.T) {
			requireRefused(t, user, err)
			require.NotContains(t, err.Error(), apiKey)
			require.Equal(t, name == "user in the query", errors.Is(err, auth.ErrNoCredential))
		})
	}
}

func TestAPIKeyLookup(t *testing.T) {
	roles := make([]string, 1, 8) // with room, so that appending in place would show
	roles[0] = "member"
	a := auth.APIKey(map[string]string{"billing": apiKey}, func(_ context.Context, id string) (chat.User, error) {
		switch id {
		case "alice":
			return chat.User{ID: "mallory", Name: "Alice", Roles: roles}, nil
		case "down":
			return chat.User{}, chat.ErrUnavailable
		}
		return chat.User{}, errors.New("unknown")
	})
	user, err := a(acting(apiKey, "alice"))
	require.NoError(t, err)
	require.Equal(t, chat.User{ID: "alice", Name: "Alice", Roles: []string{"member", "api", "api:billing"}}, user)
	require.Equal(t, []string{"member", "", ""}, roles[:3], "the host's slice is the host's")

	user, err = a(acting(apiKey, "nobody"))
	requireRefused(t, user, err)
	_, err = a(acting(apiKey, "down"))
	require.ErrorIs(t, err, chat.ErrUnavailable)
}

func TestAPIKeyIsKeptByCopy(t *testing.T) {
	keys := map[string]string{"billing": apiKey}
	a := auth.APIKey(keys, nil)
	keys["mallory"] = otherAPIKey
	delete(keys, "billing")
	_, err := a(acting(apiKey, "alice"))
	require.NoError(t, err)
	user, err := a(acting(otherAPIKey, "alice"))
	requireRefused(t, user, err)
}

func TestAPIKeyWithoutKeysLetsNobodyIn(t *testing.T) {
	for _, key := range []string{"", apiKey} {
		user, err := auth.APIKey(nil, nil)(acting(key, "alice"))
		requireRefused(t, user, err)
	}
}

func TestAPIKeyMistakes(t *testing.T) {
	for want, keys := range map[string]map[string]string{
		`auth: APIKey: key "b" has 0 characters, not the 32 that keep it from being guessed`:           {"a": apiKey, "b": ""},
		`auth: APIKey: keys "a" and "b" are the same`:                                                  {"a": apiKey, "b": apiKey},
		`auth: APIKey: key "a" can be no bearer token: it is too long, or holds a space or line break`: {"a": apiKey + "\n"},
	} {
		require.PanicsWithValue(t, want, func() { auth.APIKey(keys, nil) })
	}
}

func TestAPIKeyConcurrently(t *testing.T) {
	a := auth.APIKey(map[string]string{"billing": apiKey}, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if user, err := a(acting(apiKey, "alice")); err != nil || user.ID != "alice" {
					t.Errorf("got %v, %v", user, err)
				}
			}
		})
	}
	wg.Wait()
}
