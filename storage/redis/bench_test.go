package redis_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/internal/redistest"
	"github.com/gabblehq/chat/storage/redis"
	"github.com/gabblehq/chat/storage/storagetest"
)

// BenchmarkServer is how many messages a second go through a server, and
// BenchmarkBare how many redis-benchmark gets through the same script with as
// many in a pipeline and as many connections as the store has at most.
//
//	go test -run xxx -bench 'Server|Bare' -benchtime 200000x -count 5 ./storage/redis
func BenchmarkServer(b *testing.B) {
	server := redistest.Start(b)
	s := benchStore(b, server)
	before := cpu(b, server)
	storagetest.BenchServer(b, s)
	perAppend(b, server, before)
}

// BenchmarkLatency is what a server adds to the time that one message takes.
func BenchmarkLatency(b *testing.B) { storagetest.BenchLatency(b, benchStore(b, redistest.Start(b))) }

func benchStore(b *testing.B, server *redistest.Server) *redis.Store {
	s, err := redis.Open(b.Context(), server.URL())
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func BenchmarkBare(b *testing.B) {
	server := redistest.Start(b)
	s, err := redis.Open(b.Context(), server.URL())
	require.NoError(b, err)
	defer func() { _ = s.Close() }()
	bench, err := exec.LookPath("redis-benchmark")
	if err != nil {
		b.Skip("redis-benchmark is not installed")
	}
	_, err = s.Append(b.Context(), "r", chat.Position{}, []chat.Change{{Kind: chat.ChangeCreateRoom, Room: chat.RoomInfo{ID: "r", Kind: chat.RoomPublic}}})
	require.NoError(b, err)
	const id = "00000000000000__rand_int__"
	args := redis.AppendCommand(s, "r", chat.Message{
		ID: id, User: "alice", Kind: chat.KindRegular, Content: "a message of the usual length, forty-two.", Nonce: id,
	}, "0000000000__rand_int__")
	host := server.Addr[len("127.0.0.1:"):]
	before := cpu(b, server)
	b.ResetTimer()
	out, err := exec.CommandContext(b.Context(), bench, append([]string{
		"-p", host, "-q", "-n", strconv.Itoa(b.N), "-r", "1000000000", "-c", "3", "-P", "256",
	}, args...)...).CombinedOutput()
	b.StopTimer()
	require.NoError(b, err, "%s", out)
	found := regexp.MustCompile(`([0-9.]+) requests per second`).FindSubmatch(out)
	require.NotNil(b, found, "%s", out)
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(b, err)
	head, err := s.Head(b.Context(), "r")
	require.NoError(b, err)
	require.Greater(b, head.Seq, int64(b.N)*9/10, "the messages are there")
	b.ReportMetric(rate, "appends/s")
	perAppend(b, server, before)
}

func perAppend(b *testing.B, server *redistest.Server, before time.Duration) {
	b.ReportMetric(float64((cpu(b, server)-before).Nanoseconds())/float64(b.N), "server-ns/append")
}

// cpu is what the server's process has used so far. Other than the time that
// passes it does not depend on what else the machine does.
func cpu(b *testing.B, server *redistest.Server) time.Duration {
	c := server.Client()
	defer c.Close()
	var all float64
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		v, err := strconv.ParseFloat(redistest.InfoField(b.Context(), c, "cpu", field), 64)
		require.NoError(b, err)
		all += v
	}
	return time.Duration(all * float64(time.Second))
}

// BenchmarkAlone is a message at a time: nothing is shared with others.
func BenchmarkAlone(b *testing.B) {
	server := redistest.Start(b)
	s := benchStore(b, server)
	_, err := s.Append(b.Context(), "r", chat.Position{}, []chat.Change{creation("r")})
	require.NoError(b, err)
	changes := make([]chat.Change, b.N)
	for i := range changes {
		changes[i] = message(strconv.Itoa(i))
	}
	before := cpu(b, server)
	b.ResetTimer()
	for i := range changes {
		_, err := s.Append(b.Context(), "r", chat.Position{}, changes[i:i+1])
		require.NoError(b, err)
	}
	b.StopTimer()
	perAppend(b, server, before)
}
