package redistest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// masters of a cluster, which share its slots.
const (
	masters = 3
	slots   = 16384
)

// Nodes are the masters of a cluster.
type Nodes []*Server

// Cluster runs a Redis Cluster of three masters that hold all slots. It is
// ready when Cluster returns.
func Cluster(t testing.TB, config ...string) Nodes {
	t.Helper()
	config = append([]string{"cluster-enabled yes", "cluster-node-timeout 3000"}, config...)
	nodes := make(Nodes, masters)
	for i := range nodes {
		// The default bus port, 10000 above, may be beyond what there is.
		bus := freePort(t)
		nodes[i] = Start(t, append(config, fmt.Sprint("cluster-port ", bus))...)
		nodes[i].assign(i, nodes[0], bus)
	}
	nodes.Await()
	return nodes
}

// Await returns when all masters agree that all slots are served.
func (n Nodes) Await() {
	for _, s := range n {
		c := s.Client()
		s.await("a whole cluster", func(ctx context.Context) bool {
			info := c.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprint("cluster_slots_ok:", slots)) &&
				strings.Contains(info, fmt.Sprint("cluster_size:", masters))
		})
		_ = c.Close()
	}
}

// assign gives the i-th master its slots and has the first one meet it.
func (s *Server) assign(i int, first *Server, bus int) {
	s.t.Helper()
	c := s.Client()
	defer func() { _ = c.Close() }()
	ctx := context.Background()
	from, to := i*slots/masters, (i+1)*slots/masters-1
	if err := c.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
		s.t.Fatal(err)
	}
	if s == first {
		return
	}
	f := first.Client()
	defer func() { _ = f.Close() }()
	host, port, _ := net.SplitHostPort(s.Addr)
	if err := f.Do(ctx, "cluster", "meet", host, port, bus).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Addrs are the masters' addresses.
func (n Nodes) Addrs() []string {
	addrs := make([]string, len(n))
	for i, s := range n {
		addrs[i] = s.Addr
	}
	return addrs
}

// Client is a new client of the cluster, which the caller closes.
func (n Nodes) Client() *goredis.ClusterClient {
	return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: n.Addrs(), DialerRetries: 1})
}

// InfoField returns one field of a section of INFO, "" where there is none.
func InfoField(ctx context.Context, c goredis.Cmdable, section, field string) string {
	for line := range strings.Lines(c.Info(ctx, section).Val()) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
