package redis

import (
	"context"
	"crypto/rand"
	"strconv"

	"github.com/gabblehq/chat"
)

// attempts is how often Append plans anew because others have changed the very
// things that it is about.
const attempts = 64

// maxHint is the size up to which a hint carries what has changed.
const maxHint = 16 << 10

// Append implements [chat.Store]. Changes that only add messages cost one
// round trip, others and retries two.
func (s *Store) Append(ctx context.Context, room string, known chat.Position, changes []chat.Change) ([]chat.Result, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	if err := s.noteDirect(ctx, room, changes); err != nil {
		return nil, err
	}
	a := &appending{s: s, room: room, known: known, changes: changes}
	f := assumption(changes)
	for range attempts {
		if f == nil {
			var err error
			if f, err = a.load(ctx); err != nil {
				return nil, err
			}
		}
		p := newPlan(f, known, changes)
		if !p.writes() && !f.assumed {
			return p.finish(f.head.Epoch, f.roomID, f.head.Rev, f.head.Seq), nil
		}
		if !p.writes() { // not without having asked
			f = nil
			continue
		}
		results, fresh, err := a.apply(ctx, p)
		if err != nil || results != nil {
			return results, err
		}
		f = fresh
	}
	return nil, chat.Errorf(chat.CodeUnavailable, "redis: others change the same all the time")
}

// appending is one call of Append.
type appending struct {
	s       *Store
	room    string
	known   chat.Position
	changes []chat.Change
}

// load asks for all that the changes have to do with.
func (a *appending) load(ctx context.Context) (*facts, error) {
	ids, nonces := a.asks(nil)
	argv := a.argv("l", &plan{facts: &facts{}}, ids, nonces)
	reply, err := a.run(ctx, argv)
	if err != nil {
		return nil, err
	}
	return a.s.parseFacts(a.room, reply, ids, nonces), nil
}

// apply has the plan written. If its facts do not hold it returns those that
// do.
func (a *appending) apply(ctx context.Context, p *plan) ([]chat.Result, *facts, error) {
	ids, nonces := a.asks(p.fresh)
	reply, err := a.run(ctx, a.argv("a", p, ids, nonces))
	if err != nil {
		return nil, nil, err
	}
	if number(reply[0]) == 0 {
		return nil, a.s.parseFacts(a.room, reply, ids, nonces), nil
	}
	return p.finish(text(reply[1]), text(reply[4]), number(reply[2]), number(reply[3])), nil, nil
}

func (a *appending) run(ctx context.Context, argv []any) ([]any, error) {
	s := a.s
	reply, err := s.write(ctx, bucketOf(a.room), s.scripts.append.command(ctx, s.keys.room(a.room), argv...))
	if err == nil && len(reply) < 5 {
		err = failed(errCorrupt)
	}
	return reply, err
}

// asks returns all ids and nonces of the changes, the ids of new messages
// first.
func (a *appending) asks(fresh []*stored) (ids []string, nonces []nonceKey) {
	ids = make([]string, 0, len(a.changes))
	seenID, seenNonce := make(map[string]struct{}, len(a.changes)), make(map[nonceKey]struct{}, len(a.changes))
	id := func(id string) {
		if _, ok := seenID[id]; !ok {
			seenID[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	for _, m := range fresh {
		id(m.ID)
	}
	for i := range a.changes {
		c := &a.changes[i]
		if c.Kind < chat.ChangeCreate || c.Kind > chat.ChangeDelete {
			continue
		}
		id(c.Message.ID)
		if c.Kind != chat.ChangeCreate {
			continue
		}
		k := keyOf(c.Message.User, c.Message.Nonce)
		if _, ok := seenNonce[k]; !ok && k != "" {
			seenNonce[k] = struct{}{}
			nonces = append(nonces, k)
		}
	}
	return ids, nonces
}

// argv writes what append.lua reads of one part.
func (a *appending) argv(mode string, p *plan, ids []string, nonces []nonceKey) []any {
	s := a.s
	if s.opts.Wait > 0 {
		mode += "w"
	}
	argv := make([]any, 0, 22+len(ids)+len(nonces)+5*len(p.fresh)+4*len(p.old))
	argv = append(argv, 0, mode, a.known.Epoch, a.known.Rev, rand.Text(), s.keys.channel(bucketOf(a.room)), a.room,
		s.opts.NonceTTL.Milliseconds(), s.opts.MaxMessages, s.cutoff(),
		p.rev-p.head.Rev, len(ids), len(nonces), len(p.fresh), len(p.old))
	argv = append(argv, settingsArgs(p)...)
	argv = append(argv, encodeStates(p), p.head.Epoch)
	for _, id := range ids {
		argv = append(argv, id)
	}
	place := make(map[nonceKey]int, len(nonces))
	for i, k := range nonces {
		argv = append(argv, string(k))
		place[k] = i + 1
	}
	for _, m := range p.fresh {
		argv = append(argv, m.FirstRev-p.head.Rev, m.Rev-p.head.Rev, place[m.key], encodeStub(&m.Message), encodeMessage(&m.Message))
	}
	for _, m := range p.old {
		argv = append(argv, m.Seq, m.was, m.Rev-p.head.Rev, encodeMessage(&m.Message))
	}
	argv[0] = len(argv) - 1 // where the next part begins
	return argv
}

func settingsArgs(p *plan) []any {
	if !p.infoMoved {
		return []any{0, 0, 0, "", ""}
	}
	making := 0
	if p.making {
		making = 1
	}
	return []any{making, p.info.Rev - p.head.Rev, p.infoWas, encodeRoom(p.info), p.info.ID}
}

// cutoff is the time before which messages are too old, in Unix milliseconds,
// empty where none are.
func (s *Store) cutoff() string {
	if s.opts.MaxAge <= 0 {
		return ""
	}
	return strconv.FormatInt(s.clock.Now().Add(-s.opts.MaxAge).UnixMilli(), 10)
}
