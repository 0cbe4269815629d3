package redis

import "context"

// A load is one command on its way, and those who wait for it. Appends of one
// slot travel in one: the script asks once which life of the data this is, and
// answers each by itself.
type load struct {
	cmd *command
	of  []*pending
}

const (
	partKeys = 7    // keys of an append
	maxParts = 32   // appends in one command, at most, which bounds how long others wait
	maxArgs  = 4096 // their arguments, at most
)

// loads makes commands of what waits, in no particular order: nobody waits
// with two.
func (l *lane) loads(ctx context.Context, batch []*pending) []*load {
	loads := make([]*load, 0, len(batch))
	open := make(map[int]*load) // the one of a slot that takes more
	args := make(map[int]int)
	for _, p := range batch {
		slot := 0
		if l.s.cluster != nil {
			slot = p.bucket
		}
		ld := open[slot]
		n := len(p.cmd.Args())
		if p.cmd.script != l.s.scripts.append || ld == nil || len(ld.of) == maxParts || args[slot]+n > maxArgs {
			ld = &load{cmd: p.cmd}
			loads = append(loads, ld)
			if p.cmd.script == l.s.scripts.append {
				open[slot], args[slot] = ld, 0
			}
		}
		ld.of = append(ld.of, p)
		args[slot] += n
	}
	for _, ld := range loads {
		if len(ld.of) > 1 {
			ld.cmd = joined(ctx, ld.of)
		}
	}
	return loads
}

// joined makes one command of several appends.
func joined(ctx context.Context, of []*pending) *command {
	const head = 3 // evalsha, hash, number of keys
	keys := make([]string, 0, partKeys*len(of))
	var argv []any
	for _, p := range of {
		args := p.cmd.Args()
		for _, key := range args[head : head+partKeys] {
			keys = append(keys, key.(string))
		}
		argv = append(argv, args[head+partKeys:]...)
	}
	return of[0].cmd.script.command(ctx, keys, argv...)
}

// settle answers the callers. short is what WAIT came to.
func (ld *load) settle(s *Store, short error) {
	replies, ok := ld.cmd.Val().([]any)
	parts := ld.cmd.script.parts
	ok = ok && (!parts || len(replies) == len(ld.of))
	for i, p := range ld.of {
		var reply any
		if ok && parts {
			reply = replies[i]
		} else if ok {
			reply = replies
		}
		err := ld.cmd.Err()
		if err == nil {
			err, _ = reply.(error) // of this part alone
		}
		if err != nil || parts { // a room can be removed when memory is full
			s.wrote(err)
		}
		p.settle(err, reply, short)
	}
}

func (p *pending) settle(err error, reply any, short error) {
	defer close(p.done)
	switch {
	case err != nil:
		p.err = failed(err)
	case short != nil:
		p.err = short
	default:
		var ok bool
		if p.reply, ok = reply.([]any); !ok {
			p.err = failed(errCorrupt)
		}
	}
}
