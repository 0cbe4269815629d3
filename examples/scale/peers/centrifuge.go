package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/gabblehq/chat/examples/scale/peers/job"
)

// centrifugeTTL is how long a channel's history is kept.
const centrifugeTTL = time.Hour

// centrifugeServer is centrifuge with its own protocol, in JSON: rooms are
// channels with history and recovery, so that publications are numbered by their
// offset, and what a client publishes goes to the channel as it is, with the
// author as the publication's client info.
func centrifugeServer(addr string, d *job.Door) (*peer, error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		return nil, err
	}
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true}}, nil)
		})
		c.OnPublish(func(e centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			done(centrifuge.PublishReply{Options: centrifuge.PublishOptions{
				HistorySize: job.Kept, HistoryTTL: centrifugeTTL, ClientInfo: e.ClientInfo,
			}}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, err
	}
	ws := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		MessageSizeLimit: job.MaxCommand, UseWriteBufferPool: true,
	})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, ok := d.Admit(w, r)
		if !ok {
			return
		}
		info, err := json.Marshal(map[string]string{"name": u.Name})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: u.ID, Info: info})
		ws.ServeHTTP(w, r.WithContext(ctx))
	})
	return overHTTP(addr, h, func() error { return node.Shutdown(context.Background()) })
}
