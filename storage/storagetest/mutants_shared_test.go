package storagetest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/storagetest"
)

// sharedMutants are broken in what they do for several servers.
func sharedMutants() []mutant {
	return []mutant{
		{"begins without a word", hearing(func(e *bentEar) { e.missed = butFirst(e.Listener.Missed) }), []string{"watch/begins"}},
		{"begins with one room", hearing(func(e *bentEar) {
			e.missed = func(func(string) bool) { e.Listener.Missed(func(string) bool { return false }) }
		}), []string{"watch/begins"}},
		{"tells nothing", hearing(func(e *bentEar) { e.missed, e.appended = first(e.Listener.Missed), nothing[chat.Hint] }), []string{"watch/told", "watch/begins", "watch/any_key"}},
		{"loses every fifth hint", hearing(func(e *bentEar) {
			n := 0
			e.missed = first(e.Listener.Missed)
			e.appended = func(h chat.Hint) {
				if n++; n%5 > 0 {
					e.Listener.Appended(h)
				}
			}
		}), []string{"watch/told", "watch/many_rooms"}},
		{"tells of a wrong seq", hinting(func(h *chat.Hint) { h.Head.Seq++ }), []string{"watch/told"}},
		{"lowers keys in hints", hinting(func(h *chat.Hint) { h.Room = strings.ToLower(h.Room) }), []string{"watch/any_key"}},
		{"turns pairs of hints round", hearing(func(e *bentEar) {
			held := map[string]chat.Hint{}
			e.appended = func(h chat.Hint) {
				last, ok := held[h.Room]
				if !ok {
					held[h.Room] = h
					return
				}
				delete(held, h.Room)
				e.Listener.Appended(h)
				e.Listener.Appended(last)
			}
		}), []string{"watch/order"}},
		{"leaves out superseded entries", entering(func(es []chat.Entry) []chat.Entry { return es[len(es)-1:] }), []string{"watch/entries"}},
		{"shows entries in their newest state", entering(func(es []chat.Entry) []chat.Entry {
			for i := range es {
				if last := es[len(es)-1].Message; es[i].Message != nil && last != nil && last.ID == es[i].Message.ID {
					es[i].Message = last
				}
			}
			return es
		}), []string{"watch/entries"}},
		{"is off by one", hinting(func(h *chat.Hint) { h.After = max(0, h.After-1) }), []string{"watch/entries"}},
		{"keeps removals to itself", hearing(func(e *bentEar) {
			e.appended = func(h chat.Hint) {
				if h.Head.Rev >= 0 {
					e.Listener.Appended(h)
				}
			}
		}), []string{"watch/removed"}},
		{"keeps new epochs to itself", hearing(func(e *bentEar) {
			revs := map[string]int64{}
			e.appended = func(h chat.Hint) {
				if revs[h.Room] != h.Head.Rev {
					e.Listener.Appended(h)
				}
				revs[h.Room] = h.Head.Rev
			}
		}), []string{"watch/new_epoch"}},
		{"ends in silence", bend(func(b *bent) {
			b.watch = func(ctx context.Context, l chat.Listener) error {
				_ = b.SharedNode.Watch(ctx, l)
				return nil
			}
		}), []string{"watch/ends"}},
		{"cuts signals", bend(func(b *bent) {
			b.signal = func(ctx context.Context, room string, data []byte) error {
				return b.SharedNode.Signal(ctx, room, data[:min(len(data), 1024)])
			}
		}), []string{"watch/signal"}},
		{"takes signals for text", bend(func(b *bent) {
			b.signal = func(ctx context.Context, room string, data []byte) error {
				return b.SharedNode.Signal(ctx, room, []byte(strings.ToValidUTF8(string(data), "?")))
			}
		}), []string{"watch/signal"}},
		{"leaves out heads", bending(func(hs []chat.Position) []chat.Position {
			return slices.DeleteFunc(hs, func(p chat.Position) bool { return p.Rev <= 0 })
		}), []string{"watch/heads", "watch/many_heads"}},
		{"sorts heads", bending(func(hs []chat.Position) []chat.Position {
			slices.SortFunc(hs, func(a, b chat.Position) int { return int(a.Rev - b.Rev) })
			return hs
		}), []string{"watch/heads"}},
		{"takes the removed for lost", bending(func(hs []chat.Position) []chat.Position {
			for i := range hs {
				hs[i].Rev = max(hs[i].Rev, 0)
			}
			return hs
		}), []string{"watch/heads", "watch/removed"}},

		{"forgets to leave", attending(func(as []chat.Attendance) []chat.Attendance {
			return slices.DeleteFunc(as, func(a chat.Attendance) bool { return a.Gone })
		}), []string{"presence/come_and_gone", "presence/in_order"}},
		{"applies leaves last", attending(func(as []chat.Attendance) []chat.Attendance {
			slices.SortStableFunc(as, func(a, b chat.Attendance) int {
				if a.Gone == b.Gone {
					return 0
				} else if a.Gone {
					return 1
				}
				return -1
			})
			return as
		}), []string{"presence/in_order"}},
		{"takes at most a thousand", attending(func(as []chat.Attendance) []chat.Attendance { return as[:min(len(as), 1000)] }), []string{"presence/many"}},
		{"lowers keys of presence", attending(func(as []chat.Attendance) []chat.Attendance {
			for i := range as {
				as[i].Room = strings.ToLower(as[i].Room)
			}
			return as
		}), []string{"presence/any_key"}},
		{"drops avatars", attending(func(as []chat.Attendance) []chat.Attendance {
			for i := range as {
				as[i].User.Avatar = ""
			}
			return as
		}), []string{"presence/user", "presence/once_on_a_node"}},
		{"shows a user once", showingThere(func(as []chat.Attendance) []chat.Attendance {
			var seen []string
			return slices.DeleteFunc(as, func(a chat.Attendance) bool {
				twice := slices.Contains(seen, a.User.ID)
				seen = append(seen, a.User.ID)
				return twice
			})
		}), []string{"presence/one_on_each_node"}},
		{"shows everyone everywhere", showingThere(func(as []chat.Attendance) []chat.Attendance { return append(as, as...) }), []string{"presence/come_and_gone"}},
		{"keeps leases for ever", leasing(func(d time.Duration) time.Duration {
			if d > 0 {
				d = time.Hour
			}
			return d
		}), []string{"presence/lease_runs_out", "presence/lapsed", "presence/nodes"}},
		{"has a shortest lease", leasing(func(d time.Duration) time.Duration { return max(d, time.Minute) }), []string{"presence/lease_of_zero"}},
		{"does not renew", bend(func(b *bent) {
			b.attend = func(ctx context.Context, node string, d time.Duration, as []chat.Attendance) ([]string, bool, error) {
				if len(as) == 0 && d > 0 {
					return b.SharedNode.Attend(ctx, node, 300*time.Millisecond, as)
				}
				return b.SharedNode.Attend(ctx, node, d, as)
			}
		}), []string{"presence/lease_renewed"}},
		{"never says lapsed", answering(func(nodes []string, _ bool) ([]string, bool) { return nodes, false }), []string{"presence/lapsed", "presence/lease_of_zero"}},
		{"always says lapsed", answering(func(nodes []string, _ bool) ([]string, bool) { return nodes, true }), []string{"presence/lapsed"}},
		{"knows one node", answering(func(nodes []string, lapsed bool) ([]string, bool) { return nodes[:min(len(nodes), 1)], lapsed }), []string{"presence/nodes"}},
		{"tells nobody who comes", hearing(func(e *bentEar) { e.present = func(string, []chat.Attendance) {} }), []string{"presence/told"}},

		{"takes the lost for missing", appending(nil, func(r *chat.Result) {
			if errors.Is(r.Err, chat.ErrLost) {
				r.Err = chat.ErrNotFound
			}
		}), []string{"lost/append"}},
		{"takes the missing for lost", appending(nil, func(r *chat.Result) {
			if errors.Is(r.Err, chat.ErrNotFound) {
				r.Err = chat.ErrNotFound.(*chat.Error).WithCause(chat.ErrLost)
			}
		}), []string{"lost/append", "lost/removed_since"}},
		{"takes the lost for removed", bending(func(hs []chat.Position) []chat.Position {
			for i := range hs {
				if hs[i].Rev == 0 {
					hs[i].Rev = -1
				}
			}
			return hs
		}), []string{"lost/heads"}},
		{"fails a page for one bad message", badPages(func(p *chat.Page) error { return chat.ErrInternal }), []string{"damage/history", "damage/changes"}},
		{"ends a page at a bad message", badPages(func(p *chat.Page) error {
			p.Messages, p.Entries = p.Messages[:len(p.Messages)/2], p.Entries[:len(p.Entries)/2]
			return nil
		}), []string{"damage/history", "damage/changes"}},
		{"does not look at known without changes", ignoreKnownAlone, []string{"epoch/rolled_back_without_changes", "watch/new_epoch"}},
	}
}

// bent is a SharedNode whose powers a mutant bends.
type bent struct {
	*storagetest.SharedNode
	watch  func(context.Context, chat.Listener) error
	signal func(context.Context, string, []byte) error
	heads  func(context.Context, []string) ([]chat.Position, error)
	attend func(context.Context, string, time.Duration, []chat.Attendance) ([]string, bool, error)
	there  func(context.Context, []string) ([]chat.Attendance, error)
}

func (b *bent) Unwrap() chat.Store { return b.SharedNode }

func (b *bent) Watch(ctx context.Context, l chat.Listener) error { return b.watch(ctx, l) }

func (b *bent) Signal(ctx context.Context, room string, data []byte) error {
	return b.signal(ctx, room, data)
}

func (b *bent) Heads(ctx context.Context, rooms []string) ([]chat.Position, error) {
	return b.heads(ctx, rooms)
}

func (b *bent) Attend(ctx context.Context, node string, lease time.Duration, as []chat.Attendance) ([]string, bool, error) {
	return b.attend(ctx, node, lease, as)
}

func (b *bent) Attendances(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
	return b.there(ctx, rooms)
}

func bend(f func(*bent)) func(chat.Store) chat.Store {
	return func(s chat.Store) chat.Store {
		n := node(s)
		b := &bent{n, n.Watch, n.Signal, n.Heads, n.Attend, n.Attendances}
		f(b)
		return b
	}
}

func bending(f func([]chat.Position) []chat.Position) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.heads = func(ctx context.Context, rooms []string) ([]chat.Position, error) {
			heads, err := b.SharedNode.Heads(ctx, rooms)
			return f(heads), err
		}
	})
}

func attending(f func([]chat.Attendance) []chat.Attendance) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.attend = func(ctx context.Context, node string, lease time.Duration, as []chat.Attendance) ([]string, bool, error) {
			return b.SharedNode.Attend(ctx, node, lease, f(slices.Clone(as)))
		}
	})
}

func showingThere(f func([]chat.Attendance) []chat.Attendance) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.there = func(ctx context.Context, rooms []string) ([]chat.Attendance, error) {
			all, err := b.SharedNode.Attendances(ctx, rooms)
			return f(all), err
		}
	})
}

func leasing(f func(time.Duration) time.Duration) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.attend = func(ctx context.Context, node string, lease time.Duration, as []chat.Attendance) ([]string, bool, error) {
			return b.SharedNode.Attend(ctx, node, f(lease), as)
		}
	})
}

func answering(f func([]string, bool) ([]string, bool)) func(chat.Store) chat.Store {
	return bend(func(b *bent) {
		b.attend = func(ctx context.Context, node string, lease time.Duration, as []chat.Attendance) ([]string, bool, error) {
			nodes, lapsed, err := b.SharedNode.Attend(ctx, node, lease, as)
			nodes, lapsed = f(nodes, lapsed)
			return nodes, lapsed, err
		}
	})
}
