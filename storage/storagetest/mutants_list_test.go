package storagetest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/storage/storagetest"
)

func mutants() []mutant {
	return append(sharedMutants(), []mutant{
		{"leaves a hole in the seqs", seqGap, []string{"append/seqs_are_dense", "model/any_sequence"}},
		{"gives all of a batch the last position", lastPosition, []string{"append/batch_in_order"}},
		{"fails a batch for one bad change", allOrNothing, []string{"append/bad_change_alone"}},
		{"applies a batch piece by piece", pieceByPiece, []string{"concurrency/whole_batches"}},
		{"says nothing of the room that is there", appending(nil, func(r *chat.Result) {
			if r.Err != nil {
				r.Room = chat.RoomInfo{}
			}
		}), []string{"append/room_made_twice", "concurrency/room_made_once"}},
		{"leaks an error of its own", appending(nil, func(r *chat.Result) {
			if r.Err != nil {
				r.Err = errors.New("driver: no rows")
			}
		}), []string{"append/room_missing", "edit/missing"}},
		{"shows a missing room as empty", emptyMissing, []string{"append/room_missing", "rooms/removed"}},
		{"gives a rev to an edit that changes nothing", touchingEdit, []string{"edit/unchanged_takes_no_rev"}},
		{"deletes softly what is to be deleted hard", appending(func(c *chat.Change) { c.Hard = false }, nil), []string{"edit/hard_delete_empties", "model/any_sequence"}},
		{"deletes hard what is to be deleted softly", appending(func(c *chat.Change) { c.Hard = true }, nil), []string{"edit/delete_empties"}},

		{"forgets nonces", forgetNonces, []string{"nonce/first_answer", "nonce/at_once", "nonce/within_one_batch", "model/any_sequence"}},
		{"forgets nonces with a hard delete", forgetHard, []string{"nonce/after_hard_delete"}},
		{"looks for the nonce before it writes", checkThenAct, []string{"nonce/at_once"}},
		{"joins user and nonce", appending(func(c *chat.Change) {
			if c.Message.Nonce != "" {
				c.Message.User, c.Message.Nonce = "", c.Message.User+":"+c.Message.Nonce
			}
		}, nil), []string{"nonce/any_bytes"}},

		{"goes through to the head with a full page", paging(func(p *chat.Page) { p.Through, p.More = p.Head.Rev, false }), []string{"changes/every_cursor", "changes/limit", "model/any_sequence"}},
		{"never says that there is more", paging(func(p *chat.Page) { p.More = false }), []string{"changes/limit"}},
		{"ignores the limit", oneTooMany, []string{"changes/limit", "model/any_sequence"}},
		{"keeps deletions to itself", paging(func(p *chat.Page) {
			p.Entries = slices.DeleteFunc(p.Entries, func(e chat.Entry) bool { return e.Message != nil && e.Message.Deleted() })
		}), []string{"changes/newest_state_once", "edit/delete_empties"}},
		{"keeps settings to itself", paging(func(p *chat.Page) {
			p.Entries = slices.DeleteFunc(p.Entries, func(e chat.Entry) bool { return e.Room != nil })
		}), []string{"changes/settings"}},
		{"reads the head apart from the page", lateHead, []string{"concurrency/whole_batches"}},
		{"keeps what was passed in", keepsInput, []string{"changes/page_is_the_callers", "owned/input"}},
		{"returns what it keeps", returnsOwn, []string{"owned/output", "owned/apart"}},
		{"returns what it keeps of settings", ownSettings, []string{"owned/output", "owned/apart"}},
		{"gives two answers one slice", twins, []string{"owned/apart"}},
		{"puts one field behind the other", adjacent, []string{"owned/apart"}},

		{"shows no settings in History", showing(func(p *chat.Page) { p.Room = nil }), []string{"append/room_made", "history/limit_0", "history/head"}},
		{"shows no settings in Changes", paging(func(p *chat.Page) { p.Room = nil }), []string{"append/room_made", "changes/settings", "model/any_sequence"}},
		{"says it has looked as far as the head", paging(func(p *chat.Page) { p.Through = p.Head.Rev }), []string{"changes/limit", "changes/through", "changes/every_cursor"}},

		{"takes a failure for an answer", failing(func(error) error { return nil }), []string{"broken/reads", "broken/writes", "broken/while_used"}},
		{"acknowledges what has failed", blindly, []string{"broken/writes", "broken/while_used"}},
		{"takes a failure for a missing room", failing(func(error) error { return chat.Errorf(chat.CodeNotFound, "no such room") }), []string{"broken/reads", "broken/writes"}},
		{"takes a failure for nothing in lists", func(s chat.Store) chat.Store { return listsNothing{node(s)} }, []string{"broken/optional"}},
		{"says that it can be written to whatever happens", func(s chat.Store) chat.Store {
			return checks{node(s), func(error) error { return nil }}
		}, []string{"broken/checker", "broken/optional"}},
		{"never says again that it can be written to", func(s chat.Store) chat.Store {
			var first error
			return checks{node(s), func(err error) error {
				first = cmp.Or(first, err)
				return first
			}}
		}, []string{"broken/checker"}},
		{"says that it has removed", func(s chat.Store) chat.Store { return claimsRemoval{node(s)} }, []string{"broken/epochs_and_removals"}},
		{"denies what it has written", denies, []string{"broken/writes", "broken/while_used"}},
		{"shows the driver's error", failing(func(err error) error {
			return chat.Errorf(chat.CodeUnavailable, "the store does not answer").WithCause(&net.OpError{Op: "dial", Err: errors.New("refused")})
		}), []string{"broken/reads", "broken/writes", "broken/while_used", "call/ended_context"}},
		{"shows an error that drivers test for", failing(func(err error) error {
			return chat.Errorf(chat.CodeUnavailable, "the store does not answer").WithCause(fmt.Errorf("reading: %w", io.EOF))
		}), []string{"broken/reads", "broken/writes"}},
		{"shows clients the driver's words", failing(func(err error) error {
			return chat.Errorf(chat.CodeUnavailable, "dial tcp 10.1.2.3:5432: connect: connection refused")
		}), []string{"broken/reads", "broken/writes", "call/passed_deadline"}},
		{"shows the driver's error of one change", appending(nil, func(r *chat.Result) {
			if e, ok := errors.AsType[*chat.Error](r.Err); ok {
				r.Err = e.WithCause(&fs.PathError{Op: "open", Path: "room", Err: errors.New("not there")})
			}
		}), []string{"append/room_missing", "edit/missing", "append/id_taken"}},

		{"shows the newest first", showing(func(p *chat.Page) { slices.Reverse(p.Messages) }), []string{"history/newest", "model/any_sequence"}},
		{"sorts by rev", showing(func(p *chat.Page) {
			slices.SortFunc(p.Messages, func(a, b chat.Message) int { return int(a.Rev - b.Rev) })
		}), []string{"history/sorted_by_seq"}},
		{"leaves out the deleted", showing(func(p *chat.Page) {
			p.Messages = slices.DeleteFunc(p.Messages, func(m chat.Message) bool { return m.Deleted() })
		}), []string{"history/deleted_keep_place"}},
		{"takes a leap of the clock for time", leaping, []string{"retention/clock_leaps"}},
		{"makes messages younger", appending(func(c *chat.Change) { c.At = time.Now() }, nil), []string{"retention/clock_leaps"}},
		{"does not say what it has trimmed", showing(func(p *chat.Page) { p.Floor = 0 }), []string{"retention/floor"}},

		{"does not look at known", ignoreKnown, []string{"epoch/rolled_back"}},
		{"compares revs of different epochs", strictKnown, []string{"epoch/seen_in_another_epoch"}},
		{"starts no epoch", func(s chat.Store) chat.Store { return sameEpoch{node(s)} }, []string{"epoch/new_epoch"}},
		{"removes nothing", func(s chat.Store) chat.Store { return keepsRooms{node(s)} }, []string{"rooms/removed", "epoch/removed_and_made_again"}},
		{"lists after after, too", func(s chat.Store) chat.Store { return listsAfter{node(s)} }, []string{"rooms/listed"}},

		{"forgets where epochs ended", past(func([]chat.Position) []chat.Position { return nil }), []string{"lives/restart_loses_nothing", "lives/rewound", "lives/known_beyond_the_head", "lives/newest_first"}},
		{"says that one more is good", past(func(ps []chat.Position) []chat.Position {
			ps = slices.Clone(ps)
			for i := range ps {
				ps[i].Rev++
			}
			return ps
		}), []string{"lives/rewound", "lives/rewound_and_overtaken", "lives/again_and_again"}},
		{"says that one less is good", past(func(ps []chat.Position) []chat.Position {
			ps = slices.Clone(ps)
			for i := range ps {
				ps[i].Rev--
			}
			return ps
		}), []string{"lives/restart_loses_nothing", "lives/rewound", "lives/again_and_again"}},
		{"shows the oldest epoch first", past(func(ps []chat.Position) []chat.Position {
			ps = slices.Clone(ps)
			slices.Reverse(ps)
			return ps
		}), []string{"lives/newest_first", "lives/again_and_again"}},
		{"knows the last epoch alone", past(func(ps []chat.Position) []chat.Position { return ps[:min(len(ps), 1)] }), []string{"lives/newest_first", "lives/again_and_again"}},
		{"shows the past in History alone", paging(func(p *chat.Page) { p.Past = nil }), []string{"lives/every_page", "lives/rewound"}},
		{"shows the past in Changes alone", showing(func(p *chat.Page) { p.Past = nil }), []string{"lives/every_page", "lives/rewound"}},
		{"goes on in the same epoch", sameLife, []string{"lives/rewound", "lives/rewound_and_overtaken", "lives/at_once"}},
		{"begins an epoch with every write", eagerEpoch, []string{"lives/rewound", "lives/rewound_and_overtaken", "lives/at_once"}},
		{"has a past after a new epoch", func(s chat.Store) chat.Store { return &keepsPast{hooked: hooked{Store: s}} }, []string{"lives/new_epoch", "lives/made_again"}},

		{"ignores the context", under(func(ctx context.Context, room string) (context.Context, string) {
			return context.WithoutCancel(ctx), room
		}), []string{"call/ended_context", "call/passed_deadline"}},
		{"lowers keys", under(func(ctx context.Context, room string) (context.Context, string) {
			return ctx, strings.ToLower(room)
		}), []string{"content/any_key"}},
		{"cuts keys", under(func(ctx context.Context, room string) (context.Context, string) {
			return ctx, room[:min(len(room), 255)]
		}), []string{"content/any_key"}},
		{"trims keys", under(func(ctx context.Context, room string) (context.Context, string) {
			return ctx, strings.TrimSpace(room)
		}), []string{"content/any_key"}},
		{"drops control characters", appending(func(c *chat.Change) {
			c.Message.Content = strings.ReplaceAll(c.Message.Content, "\x01", "")
		}, nil), []string{"content/any_text", "content/large"}},
		{"writes JSON its own way", appending(func(c *chat.Change) { c.Message.Meta = compact(c.Message.Meta) }, nil), []string{"content/json_is_opaque", "content/every_field"}},
		{"keeps microseconds", appending(nil, func(r *chat.Result) {
			if r.Message.Rev > 0 {
				r.Message.DeletedAt = r.Message.DeletedAt.Add(time.Microsecond)
			}
		}), []string{"content/times"}},
		{"returns local times", showing(func(p *chat.Page) {
			for i := range p.Messages {
				p.Messages[i].DeletedAt = p.Messages[i].DeletedAt.In(time.FixedZone("here", 3600))
			}
		}), []string{"content/times"}},
	}...)
}

// past bends what pages say of earlier epochs.
func past(f func([]chat.Position) []chat.Position) func(chat.Store) chat.Store {
	bend := func(p *chat.Page) { p.Past = f(p.Past) }
	return func(s chat.Store) chat.Store { return showing(bend)(paging(bend)(s)) }
}

// sameLife does not notice that another life has begun.
func sameLife(s chat.Store) chat.Store {
	first := map[string]string{}
	of := func(room, epoch string) string {
		if first[room] == "" {
			first[room] = epoch
		}
		return first[room]
	}
	var mu sync.Mutex
	page := func(room string, p *chat.Page, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			p.Head.Epoch, p.Past = of(room, p.Head.Epoch), nil
		}
	}
	return &hooked{
		Store: s,
		onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
			results, err := s.Append(ctx, room, known, cs)
			mu.Lock()
			defer mu.Unlock()
			for i := range results {
				results[i].Position.Epoch = of(room, results[i].Position.Epoch)
			}
			return results, err
		},
		onHistory: func(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
			p, err := s.History(ctx, room, q)
			page(room, &p, err)
			return p, err
		},
		onChanges: func(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
			p, err := s.Changes(ctx, room, after, limit)
			page(room, &p, err)
			return p, err
		},
	}
}

// eagerEpoch says before every write that it knows more than there is.
func eagerEpoch(s chat.Store) chat.Store {
	return &hooked{Store: s, onAppend: func(ctx context.Context, room string, known chat.Position, cs []chat.Change) ([]chat.Result, error) {
		if head, err := s.Head(ctx, room); err == nil && len(cs) > 0 {
			head.Rev++
			known = head
		}
		return s.Append(ctx, room, known, cs)
	}}
}

// keepsPast shows the past that a room had also when that is none any more.
type keepsPast struct {
	hooked
	mu   sync.Mutex
	kept []chat.Position
}

func (s *keepsPast) keep(p *chat.Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p.Past) > 0 {
		s.kept = p.Past
	} else {
		p.Past = s.kept
	}
}

func (s *keepsPast) History(ctx context.Context, room string, q chat.Query) (chat.Page, error) {
	p, err := s.Store.History(ctx, room, q)
	s.keep(&p)
	return p, err
}

func (s *keepsPast) Changes(ctx context.Context, room string, after int64, limit int) (chat.Page, error) {
	p, err := s.Store.Changes(ctx, room, after, limit)
	s.keep(&p)
	return p, err
}

type sameEpoch struct{ *storagetest.SharedNode }

func (s sameEpoch) NewEpoch(ctx context.Context, room string) (chat.Position, error) {
	return s.Head(ctx, room)
}

type listsNothing struct{ *storagetest.SharedNode }

func (s listsNothing) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	rooms, more, err := s.SharedNode.ListRooms(ctx, prefix, after, limit)
	if errors.Is(err, chat.ErrUnavailable) {
		err = nil
	}
	return rooms, more, err
}

type claimsRemoval struct{ *storagetest.SharedNode }

func (s claimsRemoval) RemoveRoom(ctx context.Context, room string) error {
	if err := s.SharedNode.RemoveRoom(ctx, room); !errors.Is(err, chat.ErrUnavailable) {
		return err
	}
	return nil
}

type keepsRooms struct{ *storagetest.SharedNode }

func (keepsRooms) RemoveRoom(context.Context, string) error { return nil }

type listsAfter struct{ *storagetest.SharedNode }

func (s listsAfter) ListRooms(ctx context.Context, prefix, after string, limit int) ([]chat.RoomSummary, bool, error) {
	if after != "" {
		after = after[:len(after)-1]
	}
	return s.SharedNode.ListRooms(ctx, prefix, after, limit)
}
