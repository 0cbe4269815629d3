package faults

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// proxy is a link that can be made slow, narrow or dead.
type proxy struct {
	t testing.TB
	p *toxiproxy.Proxy
}

// link puts a proxy before an address.
func link(t testing.TB, upstream string) *proxy {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return &proxy{t, p}
}

// through is the URL by way of the proxy.
func (p *proxy) through(url, addr string) string { return strings.Replace(url, addr, p.p.Listen, 1) }

// toxic makes the link as it says, both ways, until heal.
func (p *proxy) toxic(kind string, attributes map[string]any) {
	p.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		b, err := json.Marshal(map[string]any{"name": kind + stream, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes})
		require.NoError(p.t, err)
		_, err = p.p.Toxics.AddToxicJson(strings.NewReader(string(b)))
		require.NoError(p.t, err)
	}
}

func (p *proxy) heal() { p.p.Toxics.ResetToxics(context.Background()) }

// blackhole swallows everything, and keeps connections open.
func (p *proxy) blackhole() { p.toxic("timeout", map[string]any{"timeout": 0}) }

// sever cuts all connections and refuses new ones; mend ends that.
func (p *proxy) sever() { p.p.Stop() }

func (p *proxy) mend() { require.NoError(p.t, p.p.Start()) }
