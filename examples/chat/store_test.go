package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/pgtest"
	"github.com/gabblehq/chat/internal/redistest"
)

const testSecret = "a secret that is long enough for tests"

// shared are the stores that several processes use at once, by kind.
var shared = map[string]func(t *testing.T) (url string){
	"redis":    func(t *testing.T) string { return redistest.Start(t).URL() },
	"postgres": func(t *testing.T) string { return pgtest.Start(t).CreateDB(t) },
}

func TestMessagesSurviveARestart(t *testing.T) {
	restart := func(t *testing.T, env map[string]string) {
		p := start(t, env)
		ann := p.signIn("Ann Lee")
		c := p.dial(ann)
		c.write(map[string]any{"type": "join", "room": "lobby"})
		c.next("joined")
		c.write(map[string]any{"type": "message", "room": "lobby", "content": "still there?", "nonce": "n", "ref": "1"})
		c.next("ack")
		p.stop()

		p = start(t, env)
		c = p.dial(p.signIn("Bob"))
		c.write(map[string]any{"type": "join", "room": "lobby"})
		messages := c.next("joined")["messages"].([]any)
		require.Len(t, messages, 1)
		m := messages[0].(map[string]any)
		require.Equal(t, "still there?", m["content"])
		require.Equal(t, map[string]any{"id": userID("Ann Lee"), "name": "ann lee"}, m["user"], "nobody has told this process")

		ann2 := p.dial(ann) // the token is still good
		c.write(map[string]any{"type": "join", "room": "lobby"})
		c.next("joined") // else the message may be in it
		ann2.write(map[string]any{"type": "message", "room": "lobby", "content": "yes", "nonce": "n2"})
		require.Equal(t, "Ann Lee", c.next("message")["user"].(map[string]any)["name"])
	}
	t.Run("sqlite", func(t *testing.T) {
		restart(t, map[string]string{"GABBLE_STORE": "sqlite:" + filepath.Join(t.TempDir(), "chat.db")})
	})
	for kind, open := range shared {
		t.Run(kind, func(t *testing.T) {
			restart(t, map[string]string{"GABBLE_STORE": open(t), "GABBLE_SECRET": testSecret})
		})
	}
}

// Who says nothing gets a file, and is still signed in after a restart.
func TestTheDefaultStoreIsAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"GABBLE_STORE": ""}
	p := start(t, env)
	alice := p.signIn("alice")
	require.FileExists(t, "gabble.db")
	info, err := os.Stat("gabble.db.secret")
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.EqualValues(t, 0o600, info.Mode().Perm())
	}
	p.stop()
	require.Equal(t, 200, start(t, env).rooms(alice))
	left, err := filepath.Glob("gabble.db.secret?*")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestASecretThatCannotBeReadIsAnError(t *testing.T) {
	db := filepath.Join(t.TempDir(), "chat.db")
	require.NoError(t, os.Mkdir(db+".secret", 0o700))
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-store", "sqlite:" + db}, func(string) string { return "" }, t.Output())
	require.ErrorContains(t, err, "the signing secret")

	require.NoError(t, os.Remove(db+".secret"))
	require.NoError(t, os.WriteFile(db+".secret", []byte("short"), 0o600))
	err = run(t.Context(), []string{"-addr", "127.0.0.1:0", "-store", "sqlite:" + db}, func(string) string { return "" }, t.Output())
	require.ErrorContains(t, err, "chat.db.secret")
}

// Two processes with the same store and secret are one chat: who signs in on
// one may connect to the other, and all see the same.
func TestTwoProcessesAreACluster(t *testing.T) {
	for kind, open := range shared {
		t.Run(kind, func(t *testing.T) {
			env := map[string]string{"GABBLE_STORE": open(t), "GABBLE_SECRET": testSecret}
			here, there := start(t, env), start(t, env)
			alice, bob := there.dial(here.signIn("Alice Ay")), here.dial(there.signIn("Bob"))
			for _, c := range []*client{alice, bob} {
				c.write(map[string]any{"type": "join", "room": "lobby"})
				c.next("joined")
			}
			alice.write(map[string]any{"type": "message", "room": "lobby", "content": "from there", "nonce": "1"})
			m := bob.next("message")
			require.Equal(t, "from there", m["content"])
			require.Equal(t, userID("Alice Ay"), m["user"].(map[string]any)["id"])
			require.Equal(t, "alice ay", strings.ToLower(m["user"].(map[string]any)["name"].(string)))
			bob.write(map[string]any{"type": "message", "room": "lobby", "content": "from here", "nonce": "1"})
			require.Equal(t, "from there", alice.next("message")["content"])
			require.Equal(t, "from here", alice.next("message")["content"])
			require.NotContains(t, here.log(), "GABBLE_SECRET")
		})
	}
}

func TestASharedStoreAsksForASecret(t *testing.T) {
	p := start(t, map[string]string{"GABBLE_STORE": redistest.Start(t).URL()})
	require.Contains(t, p.log(), "give them all the same GABBLE_SECRET")
	require.NotContains(t, start(t, nil).log(), "GABBLE_SECRET")
}

func TestALabelHasNoPassword(t *testing.T) {
	for name, want := range map[string]string{
		"memory:":                               "memory:",
		"sqlite:/var/lib/gabble.db":             "sqlite:/var/lib/gabble.db",
		"redis://:geheim@cache:6379/3":          "redis://cache:6379/3",
		"redis-cluster://u:geheim@a:1,b:2":      "redis-cluster://a:1,b:2",
		"postgres://u:geheim@db/chat":           "postgres://db/chat",
		"postgres://db/chat?password=geheim":    "postgres://db/chat",
		"postgresql://u:geheim@[::1/chat":       "postgresql://…",
		"redis-sentinel://u:ge@heim@a:1?x=heim": "redis-sentinel://a:1",
	} {
		require.Equal(t, want, label(name))
	}
}
