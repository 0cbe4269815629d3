package transport

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// exhausted handles a full descriptor table: those that wait are accepted with a
// descriptor kept for that and answered, so that they learn it at once, and then
// nothing is accepted for a while, instead of being woken for nothing.
func (s *listener) exhausted(err error) {
	if !s.short {
		s.short = true
		s.l.t.report(slog.LevelWarn, "transport: cannot accept, answering 503", "error", err)
	}
	s.turnAwayWaiting()
	s.paused, s.resume = true, s.l.now+backOff
	_ = s.l.poll.Mod(s.fd, s.slot, 0)
	s.l.hurry(s)
}

// turnAwayWaiting answers a batch of those that wait, one after the other on the
// spare descriptor.
func (s *listener) turnAwayWaiting() {
	if s.spare >= 0 {
		_ = unix.Close(s.spare)
	}
	for range acceptBatch {
		fd, _, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			break
		}
		s.l.t.rejected.Add(1)
		s.answerFull(fd)
	}
	s.spare = openSpare()
}

// answerFull answers without waiting, and closes. What has come of the request is
// read first, since closing a socket with unread input would reset it.
func (s *listener) answerFull(fd int) {
	_, _ = unix.Read(fd, s.l.buf)
	_, _ = unix.Write(fd, refusal(s.l.t.opts.Full))
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	_, _ = unix.Read(fd, s.l.buf)
	_ = unix.Close(fd)
}

// turnAway answers a connection for which there is no room, and has the loop wait
// until its peer has read that, unless too many do.
func (s *listener) turnAway(fd int) {
	t := s.l.t
	if !t.holdRefusal() {
		s.answerFull(fd)
		return
	}
	_, _ = unix.Write(fd, refusal(t.opts.Full))
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	h := &shake{l: s.l, s: s, fd: fd, refused: true, turned: true}
	h.watch(s.l.now + t.closeTicks)
}
