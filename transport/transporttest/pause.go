package transporttest

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat/transport"
)

func (s *suite) pause(t *testing.T) {
	t.Run("in the middle of a segment", s.pauseInside)
	t.Run("data with the end is delivered first", s.pauseThenEnd)
	t.Run("resume from elsewhere, again and again", s.pauseStorm)
	t.Run("close while paused", s.pauseClose)
}

func (s *suite) pauseInside(t *testing.T) {
	p := s.open(t, transport.Options{}, func(r *Recorder) {
		r.OnMessage = func(c *transport.Conn, payload []byte, _ bool) {
			if string(payload) != "end" {
				c.Pause()
			}
		}
	})
	var stream []byte
	for i := range 5 {
		stream = append(stream, Frame(true, ws.OpText, fmt.Append(nil, i))...)
	}
	go func() { _ = p.Write(append(stream, Frame(true, ws.OpText, []byte("end"))[:4]...)) }()
	for i := range 5 {
		require.Equal(t, text(fmt.Sprint(i)), p.next())
		None(t, p.h.Messages, "message while paused")
		p.c.Resume()
	}
	require.NoError(t, p.Write(Frame(true, ws.OpText, []byte("end"))[4:]))
	require.Equal(t, text("end"), p.next())
}

func (s *suite) pauseThenEnd(t *testing.T) {
	p := s.open(t, transport.Options{}, func(r *Recorder) {
		r.OnMessage = func(c *transport.Conn, _ []byte, _ bool) { c.Pause() }
	})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = p.Write(cat(Frame(true, ws.OpText, []byte("1")), Frame(true, ws.OpText, []byte("2"))))
		if s.features.Kernel {
			_ = p.Write(Frame(true, ws.OpText, []byte("3")))
			p.Close()
		}
	}()
	<-sent
	want := []string{"1", "2"}
	if s.features.Kernel {
		want = append(want, "3")
	}
	for _, m := range want {
		require.Equal(t, text(m), p.next())
		None(t, p.h.End, "Closed before the data")
		p.c.Resume()
	}
	p.Close()
	require.EqualValues(t, 1006, p.ended().Code)
}

func (s *suite) pauseStorm(t *testing.T) {
	p := s.open(t, transport.Options{}, nil)
	const total = 2000
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				p.c.Resume()
				return
			default:
				p.c.Pause()
				p.c.Resume()
			}
		}
	}()
	go func() {
		for i := range total {
			_ = p.Text(fmt.Sprint(i))
		}
	}()
	for i := range total {
		require.Equal(t, text(fmt.Sprint(i)), p.next())
	}
	close(stop)
	<-stopped
}

func (s *suite) pauseClose(t *testing.T) {
	for name, end := range map[string]func(*transport.Conn){
		"Close": func(c *transport.Conn) { c.Close(4001, "") },
		"Abort": func(c *transport.Conn) { c.Abort() },
	} {
		p := s.open(t, transport.Options{CloseTimeout: 200 * time.Millisecond}, nil)
		p.c.Pause()
		if s.features.Kernel {
			require.NoError(t, p.Text("unread"), name)
		}
		end(p.c)
		e := p.Client.End()
		if name == "Close" {
			require.EqualValues(t, 4001, e.Code)
		}
		p.Close()
		p.ended()
		None(t, p.h.Messages, "message after "+name)
	}
}
