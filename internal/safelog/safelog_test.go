package safelog_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/internal/safelog"
)

// moody is a handler that does something before it handles.
type moody struct {
	slog.Handler
	before func()
}

func (m moody) Handle(ctx context.Context, r slog.Record) error {
	m.before()
	return m.Handler.Handle(ctx, r)
}

func (m moody) WithAttrs(a []slog.Attr) slog.Handler { return moody{m.Handler.WithAttrs(a), m.before} }
func (m moody) WithGroup(n string) slog.Handler      { return moody{m.Handler.WithGroup(n), m.before} }

func TestEveryRecordInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := safelog.New(slog.New(slog.NewTextHandler(&out, nil)))
		require.Same(t, log, safelog.New(log))
		for i := range 1000 {
			log.With("n", i).WithGroup("g").Info("x", "y", "z")
		}
		safelog.Flush(log, time.Second)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 1000)
		for i, l := range lines {
			require.Contains(t, l, fmt.Sprintf("n=%d g.y=z", i))
		}
	})
}

func TestHandlerThatPanicsLosesItsRecordAndIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n := 0
		log := safelog.New(slog.New(moody{slog.NewTextHandler(&out, nil), func() {
			if n++; n == 2 || n == 3 { // the record, and the first time that it is said
				panic("out of paper")
			}
		}}))
		for i := range 3 {
			log.Warn(fmt.Sprint("record", i))
		}
		synctest.Wait()
		require.Contains(t, out.String(), "record0")
		require.NotContains(t, out.String(), "record1")
		require.Contains(t, out.String(), "record2")
		require.Contains(t, out.String(), "panicked=1 dropped=0")
		require.Contains(t, out.String(), "out of paper")
		require.Equal(t, 1, strings.Count(out.String(), "records lost"))
	})
}

func TestHandlerThatHangsHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		release := make(chan struct{})
		log := safelog.New(slog.New(moody{slog.NewTextHandler(&out, nil), func() { <-release }}))
		for range 10_000 {
			log.Error("x")
		}
		synctest.Wait()
		start := time.Now()
		safelog.Flush(log, time.Second)
		require.LessOrEqual(t, time.Since(start), time.Second)
		close(release)
		synctest.Wait()
		lines := strings.Count(out.String(), "msg=x")
		require.Less(t, lines, 10_000)
		require.Contains(t, out.String(), fmt.Sprintf("dropped=%d", 10_000-lines))
	})
}

func TestLevelsFollowTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var level slog.LevelVar
		log := safelog.New(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: &level})))
		ctx := context.Background()
		require.False(t, log.Enabled(ctx, slog.LevelDebug))
		require.True(t, log.Enabled(ctx, slog.LevelInfo))
		level.Set(slog.LevelDebug)
		time.Sleep(time.Second)
		log.Enabled(ctx, slog.LevelDebug)
		synctest.Wait()
		require.True(t, log.Enabled(ctx, slog.LevelDebug), "soon")
		level.Set(slog.LevelError + 1)
		log.Error("x")
		synctest.Wait()
		require.Empty(t, out.String(), "nothing that it does not take at that moment")
	})
}

// TestSamplerSaysOnceWhatHappensOften, and how often it has.
func TestSamplerSaysOnceWhatHappensOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}}))
		var s safelog.Sampler
		for range 3 {
			s.Warn(log, "often")
			s.WarnOf("a", log, "why", "cause", "a")
			s.WarnOf("b", log, "why", "cause", "b")
		}
		require.Equal(t, "msg=often more=0\nmsg=why cause=a more=0\nmsg=why cause=b more=0\n", out.String())
		time.Sleep(10 * time.Second)
		out.Reset()
		s.Warn(log, "often")
		require.Equal(t, "msg=often more=2\n", out.String())
	})
}
