package hub_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/hub"
)

// rude is a log that panics when it is asked, as often as it is told to.
type rude struct {
	*model
	fill, sync int
}

func (r *rude) Fill(ctx context.Context, epoch string, after int64) (hub.Page, error) {
	if r.fill--; r.fill >= 0 {
		panic("no pages today")
	}
	return r.model.Fill(ctx, epoch, after)
}

func (r *rude) Synced(epoch string, rev int64) []byte {
	if r.sync--; r.sync >= 0 {
		panic("not in step")
	}
	return r.model.Synced(epoch, rev)
}

// What a hub calls may panic, on a lane or on whoever appends: that harms the
// subscription it was for, until it is tried again, and no other.
func TestPanicsOfOthersEndNothing(t *testing.T) {
	for name, spoil := range map[string]func(l *rude, bad *packSink, packs *int){
		"sink": func(_ *rude, bad *packSink, _ *int) {
			n := 0
			bad.onWrite = func() {
				if n++; n <= 3 {
					panic("broken pipe")
				}
			}
		},
		"log, page":       func(l *rude, _ *packSink, _ *int) { l.fill = 2 },
		"log, synced":     func(l *rude, _ *packSink, _ *int) { l.sync = 1 },
		"second encoding": func(_ *rude, _ *packSink, packs *int) { *packs = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				packs := 0
				h := hub.New(hub.Options{
					Lanes: 2, RingFrames: 4, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Pack: func([]byte) []byte {
						if packs--; packs >= 0 {
							panic("no room")
						}
						return nil
					},
				})
				defer h.Close()
				l := &rude{model: &model{}}
				topic := new(hub.Topic)
				l.model.topic, l.page, l.resets = topic, 100, map[[2]int64]map[int]int64{}
				topic.Init(h, l)
				good, bad := &sink{}, &packSink{packs: true}
				spoil(l, bad, &packs)
				for range 10 { // beyond the ring, so that pages are read
					appendOne(t, l.model, 10)
				}
				topic.Attach(&good.Sub, good, "epoch0", 10, 10, false)
				topic.Attach(&bad.Sub, bad, "epoch0", 0, 10, true)
				defer good.Detach()
				defer bad.Detach()
				synctest.Wait()
				appendOne(t, l.model, 10)
				synctest.Wait()
				require.EqualValues(t, 1, good.frames.Load(), "nobody else is harmed")
				time.Sleep(10 * time.Second)
				appendOne(t, l.model, 10)
				synctest.Wait()
				require.EqualValues(t, 2, good.frames.Load())
				require.GreaterOrEqual(t, bad.frames.Load(), int64(12), "it is tried again, and has everything")
				require.Contains(t, log.String(), "panic")
			})
		})
	}
}
