package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/sqlite"
)

const (
	childRooms   = 5
	childWriters = 20
)

// writeForever is the child: it tells its parent of every message that is
// acknowledged.
func writeForever(path string) {
	go func() { // it does not outlive its parent, whatever is between them
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	s, err := sqlite.Open(path)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	for r := range childRooms {
		key := fmt.Sprint("room-", r)
		_, _ = s.Append(ctx, key, chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom, At: time.Now(), Room: chat.RoomInfo{ID: key, Kind: chat.RoomPublic}}})
	}
	var writers sync.WaitGroup
	for w := range childWriters {
		writers.Go(func() {
			key := fmt.Sprint("room-", w%childRooms)
			for i := 0; ; i++ {
				c := message(fmt.Sprint(os.Getpid(), "-", w, "-", i), fmt.Sprint(os.Getpid(), "-", w, "-", i))
				results, err := s.Append(ctx, key, chat.Position{}, []chat.Change{c})
				if err == nil {
					err = results[0].Err
				}
				switch {
				case err == nil:
					fmt.Printf("acked %s %s %d\n", key, c.Message.Content, results[0].Message.Seq)
				case errors.Is(err, chat.ErrUnknown):
					fmt.Printf("unknown %s %s 0\n", key, c.Message.Content)
				default:
					fmt.Printf("refused %s %s 0\n", key, c.Message.Content)
				}
			}
		})
	}
	writers.Wait()
}

// told is what the child said.
type told struct {
	acked            map[string]int64 // room and content to seq
	refused, unknown map[string]bool
}

func newTold() told {
	return told{make(map[string]int64), make(map[string]bool), make(map[string]bool)}
}

// hear reads lines until there have been n and enough reports true, then kills
// the child and reads what it has still said.
func (o *told) hear(t *testing.T, cmd *exec.Cmd, n int, enough func() bool) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	killed := false
	for i := 0; lines.Scan(); i++ {
		var what, key, content string
		var seq int64
		if _, err := fmt.Sscan(lines.Text(), &what, &key, &content, &seq); err == nil {
			switch what {
			case "acked":
				o.acked[key+" "+content] = seq
			case "refused":
				o.refused[key+" "+content] = true
			case "unknown":
				o.unknown[key+" "+content] = true
			}
		} else if !killed {
			t.Errorf("the child says %q", lines.Text())
		}
		if i >= n && !killed && enough() {
			killed = true
			require.NoError(t, cmd.Process.Kill())
			_ = in.Close()
		}
	}
	_ = cmd.Wait()
	require.True(t, killed, "the child ended by itself")
}

// check wants all that was acknowledged, once and in its place, and nothing
// that was refused.
func (o *told) check(t *testing.T, s chat.Store) {
	t.Helper()
	found := 0
	for r := range childRooms {
		key := fmt.Sprint("room-", r)
		p, err := s.History(t.Context(), key, chat.Query{Around: 1, Limit: 1 << 30})
		require.NoError(t, err)
		require.Len(t, p.Messages, int(p.Head.Seq))
		for i, m := range p.Messages {
			require.EqualValues(t, i+1, m.Seq, "no holes")
			if seq, ok := o.acked[key+" "+m.Content]; ok {
				require.Equal(t, seq, m.Seq)
				found++
			}
			require.False(t, o.refused[key+" "+m.Content], "refused, and there")
		}
	}
	require.Equal(t, len(o.acked), found, "acknowledged, and not there or there twice")
}

func child(path string, before ...string) *exec.Cmd {
	args := append(before, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestKilled(t *testing.T) {
	path, rounds := file(t), 5
	if full() {
		rounds = 50
	}
	var seen chat.Position
	all := newTold()
	for round := range rounds {
		once := sync.OnceFunc(func() {
			_, err := sqlite.Open(path)
			require.ErrorIs(t, err, chat.ErrConflict)
			require.ErrorContains(t, err, path)
		})
		all.hear(t, child(path), 300+100*round, func() bool { once(); return true })

		s := open(t, path, sqlite.Options{})
		all.check(t, s)
		p := page(t, s, "room-0")
		require.True(t, round == 0 || p.Good(seen), "nothing is lost, so positions go on")
		seen = p.Head
		retry(t, s, &all)
		require.NoError(t, s.Close())
	}
	t.Logf("%d acknowledged in %d rounds", len(all.acked), rounds)
}

// retry sends something acknowledged once more.
func retry(t *testing.T, s chat.Store, o *told) {
	t.Helper()
	for what, seq := range o.acked {
		key, content, _ := strings.Cut(what, " ")
		res := one(t, s, key, message(content, content))
		require.True(t, res.Duplicate)
		require.Equal(t, seq, res.Message.Seq)
		return
	}
}

// Where syncing fails, nothing is acknowledged that was not synced, and once
// it works again so does the store.
func TestSyncFails(t *testing.T) {
	if !full() {
		t.Skip("only with GABBLE_FULL=1")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		cannot(t, "needs strace: %v", err)
	}
	path := file(t)
	o := newTold()
	after := 0
	o.hear(t, child(path, strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:error=EIO:when=30..33"), 300, func() bool {
		if len(o.unknown) > 0 {
			after++
		}
		return after > 300
	})
	t.Logf("%d acknowledged, %d unknown, %d refused", len(o.acked), len(o.unknown), len(o.refused))
	o.check(t, open(t, path, sqlite.Options{}))
}
