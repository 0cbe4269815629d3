package transport

import "time"

// Time is counted in ticks since the Transport was made. A tick is short enough
// for a closing handshake and a uint32 of them lasts for 497 days; ages are
// differences, so that wrapping around does no harm.
const tick = 10 * time.Millisecond

func (t *Transport) ticks() uint32 { return uint32(time.Since(t.start) / tick) }

// ticksOf rounds up, so that no deadline comes early.
func ticksOf(d time.Duration) uint32 {
	return uint32((min(d, tick<<30) + tick - 1) / tick)
}

// age is how long ago then was. A moment just ahead of now is no age.
func age(now, then uint32) uint32 {
	return uint32(max(int32(now-then), 0))
}

// passed tells whether a deadline is over.
func passed(now, deadline uint32) bool { return int32(now-deadline) >= 0 }

// slowSweep is how often connections are looked after, fastSweep how often those
// are that have a short deadline.
func (t *Transport) slowSweep() time.Duration {
	o := &t.opts
	return clampSweep(min((o.DeadAfter-o.PingInterval)/10, o.StallAfter/10, o.FrameTimeout/10), time.Second)
}

func (t *Transport) fastSweep() time.Duration {
	return clampSweep(min(t.opts.CloseTimeout, t.opts.HandshakeTimeout)/4, 250*time.Millisecond)
}

func clampSweep(d, most time.Duration) time.Duration {
	return min(max(d, tick), most)
}
