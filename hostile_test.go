package chat_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/gabblehq/chat"
	"github.com/gabblehq/chat/chattest"
	"github.com/gabblehq/chat/internal/leak"
)

// talk is a pair of users whom nothing that others do may harm.
type talk struct {
	t          *testing.T
	alice, bob *chattest.Client
	said       int
}

func (s *venue) talk() *talk {
	s.t.Helper()
	p := &talk{t: s.t, alice: s.dial("alice"), bob: s.dial("bob")}
	p.alice.Join("general")
	p.bob.Join("general")
	return p
}

// goesOn sends a message through and returns how long it took.
func (p *talk) goesOn() time.Duration {
	p.t.Helper()
	p.said++
	start := time.Now()
	ack := p.alice.Send("general", fmt.Sprint("and on ", p.said))
	for {
		ev := p.bob.Expect("message")
		require.Equal(p.t, "general", ev.Room)
		if ev.ID == ack.ID {
			return time.Since(start)
		}
		require.Equal(p.t, "mallory", ev.User, "nothing else is said")
	}
}

// pace is the median of a few messages.
func (p *talk) pace() time.Duration {
	p.t.Helper()
	took := make([]time.Duration, 21)
	for i := range took {
		took[i] = p.goesOn()
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// footprint is what a process holds on to.
type footprint struct {
	goroutines, fds int
	heap            uint64
}

func measure() footprint {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), leak.FDs(), m.HeapAlloc}
}

// back waits until nothing more is held than before, but for slack bytes.
func (f footprint) back(t *testing.T, slack uint64) {
	t.Helper()
	now := footprint{}
	require.Eventually(t, func() bool {
		now = measure()
		return now.goroutines <= f.goroutines+idlePool && now.fds <= f.fds && now.heap <= f.heap+slack
	}, time.Minute, 20*time.Millisecond, "before: %+v, now: %+v", f, &now)
}

// idlePool is how many goroutines pools of the server may keep for the next task.
const idlePool = 24

func maskedFrame(op ws.OpCode, fin bool, payload []byte) []byte {
	b, _ := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, slices.Clone(payload))))
	return b
}

// bombHeader is a frame's first bytes as a client would mask it, without payload.
func bombHeader(first byte, length uint64) []byte {
	b := []byte{first, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}
	for i := range 8 {
		b[9-i] = byte(length >> (8 * i))
	}
	return b
}

// hostileBytes end the connection of whoever sends them.
var hostileBytes = []struct {
	name  string
	bytes []byte
	code  []int
}{
	{"unmasked", []byte{0x81, 2, '{', '}'}, []int{1002}},
	{"rsv1", []byte{0xC1, 0x80, 1, 2, 3, 4}, []int{1002}},
	{"rsv3", []byte{0x91, 0x80, 1, 2, 3, 4}, []int{1002}},
	{"reserved_opcode", []byte{0x83, 0x80, 1, 2, 3, 4}, []int{1002}},
	{"reserved_control_opcode", []byte{0x8B, 0x80, 1, 2, 3, 4}, []int{1002}},
	{"fragmented_ping", maskedFrame(ws.OpPing, false, []byte("x")), []int{1002}},
	{"ping_of_126", maskedFrame(ws.OpPing, true, make([]byte, 126)), []int{1002}},
	{"continuation_of_nothing", maskedFrame(ws.OpContinuation, true, []byte("x")), []int{1002}},
	{"text_in_a_message", append(maskedFrame(ws.OpText, false, []byte("{")), maskedFrame(ws.OpText, true, []byte("}"))...), []int{1002}},
	{"binary", maskedFrame(ws.OpBinary, true, []byte(`{"type":"ping"}`)), []int{1003}},
	{"bad_utf8", maskedFrame(ws.OpText, true, []byte("{\"type\":\"ping\",\"ref\":\"\xff\"}")), []int{1007}},
	{"bad_utf8_over_fragments", append(maskedFrame(ws.OpText, false, []byte("\xe2\x82")), maskedFrame(ws.OpContinuation, true, []byte("x"))...), []int{1007}},
	{"length_2_31", bombHeader(0x81, 1<<31), []int{1009}},
	{"length_2_40", bombHeader(0x81, 1<<40), []int{1009}},
	{"length_2_62", bombHeader(0x81, 1<<62), []int{1009}},
	{"length_2_63_less_1", bombHeader(0x81, 1<<63-1), []int{1009}},
	{"length_2_63", bombHeader(0x81, 1<<63), []int{1002, 1009}},
	{"over_1_MiB", maskedFrame(ws.OpText, true, make([]byte, 1<<20+1)), []int{1009}},
	{"over_1_MiB_in_fragments", slices.Concat(maskedFrame(ws.OpText, false, []byte(strings.Repeat("x", 600<<10))), maskedFrame(ws.OpContinuation, false, []byte(strings.Repeat("x", 600<<10)))), []int{1009}},
	{"endless_fragments", append(maskedFrame(ws.OpText, false, nil), slices.Repeat(maskedFrame(ws.OpContinuation, false, []byte("x")), 3000)...), []int{1002, 1008, 1009}},
	{"endless_empty_fragments", append(maskedFrame(ws.OpText, false, nil), slices.Repeat(maskedFrame(ws.OpContinuation, false, nil), 3000)...), []int{1002, 1008, 1009}},
	{"close_of_one_byte", maskedFrame(ws.OpClose, true, []byte{3}), []int{1002}},
	{"close_with_1005", maskedFrame(ws.OpClose, true, []byte{0x03, 0xED}), []int{1002}},
	{"http_again", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []int{1002}},
}

func TestBrokenFramesCostOnlyTheirSender(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{})
		pair := s.talk()
		pair.goesOn()
		before := measure()
		for _, row := range hostileBytes {
			t.Run(row.name, func(t *testing.T) {
				for _, token := range []string{"", "mallory"} {
					m := s.in(t).dial(token)
					_ = m.Write(row.bytes)
					require.Contains(t, row.code, m.CloseCode(), "as %q", token)
				}
			})
			pair.goesOn()
		}
		before.back(t, 8<<20)
		require.Eventually(t, func() bool { return s.Stats().Connections == 2 }, time.Minute, time.Millisecond)
		require.Equal(t, []string{"alice", "bob"}, online(t, s.Room("general")))
	})
}

// hostileCommands are refused with a name, and the connection stays. {id} is a
// message of alice's.
var hostileCommands = []struct{ name, frame, code, field string }{
	{"not_json", `no`, "invalid", ""},
	{"empty", ``, "invalid", ""},
	{"cut_off", `{"type":"message","room":"general","content":"x`, "invalid", "content"},
	{"array", `[{"type":"ping"}]`, "invalid", ""},
	{"null", `null`, "invalid", ""},
	{"two_objects", `{"type":"ping"}{"type":"ping"}`, "invalid", ""},
	{"no_type", `{}`, "invalid", "type"},
	{"unknown_type", `{"type":"shutdown","room":"general"}`, "invalid", "type"},
	{"server_type", `{"type":"welcome"}`, "invalid", "type"},
	{"rest_only_type", `{"type":"delete_room","room":"general"}`, "invalid", "type"},
	{"internal_type", `{"type":"connect"}`, "invalid", "type"},
	{"type_of_wrong_case", `{"TYPE":"ping"}`, "invalid", "type"},
	{"field_of_wrong_case", `{"type":"message","room":"general","Content":"x"}`, "invalid", "content"},
	{"duplicate_type", `{"type":"ping","type":"message","room":"general","content":"x"}`, "invalid", "type"},
	{"duplicate_room", `{"type":"message","room":"general","room":"secret","content":"x"}`, "invalid", "room"},
	{"number_for_text", `{"type":"message","room":"general","content":7}`, "invalid", "content"},
	{"text_for_number", `{"type":"history","room":"general","limit":"7"}`, "invalid", "limit"},
	{"object_for_text", `{"type":"message","room":{"$ne":""},"content":"x"}`, "invalid", "room"},
	{"nul", `{"type":"message","room":"general","content":"a\u0000b"}`, "invalid", "content"},
	{"raw_nul", "{\"type\":\"message\",\"room\":\"general\",\"content\":\"a\x00b\"}", "invalid", "content"},
	{"half_surrogate", `{"type":"message","room":"general","content":"\ud83d"}`, "invalid", "content"},
	{"huge_number", `{"type":"history","room":"general","limit":99999999999999999999999999}`, "invalid", "limit"},
	{"huge_exponent", `{"type":"history","room":"general","before":1e999999999}`, "invalid", "before"},
	{"long_number", `{"type":"history","room":"general","before":` + strings.Repeat("9", 50_000) + `}`, "invalid", "before"},
	{"negative", `{"type":"history","room":"general","after":-1}`, "invalid", "after"},
	{"fraction", `{"type":"history","room":"general","limit":1.5}`, "invalid", "limit"},
	{"zero_limit", `{"type":"history","room":"general","limit":0}`, "invalid", "limit"},
	{"deep_meta", `{"type":"message","room":"general","content":"x","meta":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_001), "invalid", "meta"},
	{"deep_unknown", `{"type":"ping","x":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + "}", "invalid", "x"},
	{"meta_not_object", `{"type":"message","room":"general","content":"x","meta":[1]}`, "invalid", "meta"},
	{"script_url", `{"type":"message","room":"general","attachments":[{"url":"javascript:alert(1)"}]}`, "invalid", "attachments[0].url"},
	{"long_ref", `{"type":"ping","ref":"` + strings.Repeat("r", 65) + `"}`, "invalid", "ref"},
	{"nonce_with_space", `{"type":"message","room":"general","content":"x","nonce":"a b"}`, "invalid", "nonce"},
	{"blank", `{"type":"message","room":"general","content":" \n\t "}`, "invalid", "content"},
	{"too_long", `{"type":"message","room":"general","content":"` + strings.Repeat("é", 4001) + `"}`, "too_large", "content"},
	{"over_64_KiB", `{"type":"message","room":"general","content":"` + strings.Repeat("x", 70<<10) + `"}`, "too_large", ""},
	{"nearly_1_MiB", `{"type":"message","room":"general","content":"` + strings.Repeat("x", 1<<20-100) + `"}`, "too_large", ""},
	{"unknown_room", `{"type":"message","room":"nowhere","content":"x"}`, "not_found", "room"},
	{"history_of_unknown_room", `{"type":"history","room":"nowhere"}`, "not_found", "room"},
	{"room_of_gabble", `{"type":"join","room":"~user.alice"}`, "not_found", "room"},
	{"room_sql", `{"type":"join","room":"general' OR '1'='1"}`, "invalid", "room"},
	{"room_path", `{"type":"join","room":"../general"}`, "invalid", "room"},
	{"room_dots", `{"type":"join","room":".."}`, "invalid", "room"},
	{"room_key", `{"type":"join","room":"tenant/general"}`, "invalid", "room"},
	{"room_glob", `{"type":"join","room":"*"}`, "invalid", "room"},
	{"room_crlf", `{"type":"join","room":"general\r\nSET x y"}`, "invalid", "room"},
	{"room_slot", `{"type":"join","room":"{general}"}`, "invalid", "room"},
	{"room_lookalike", `{"type":"join","room":"generаl"}`, "invalid", "room"},
	{"room_long", `{"type":"join","room":"` + strings.Repeat("r", 129) + `"}`, "invalid", "room"},
	{"join_nothing", `{"type":"join"}`, "invalid", "room"},
	{"join_two", `{"type":"join","room":"general","user":"alice"}`, "invalid", "user"},
	{"join_201", `{"type":"join","rooms":[` + strings.TrimSuffix(strings.Repeat(`{"room":"general"},`, 201), ",") + `]}`, "invalid", "rooms"},
	{"resume_without_epoch", `{"type":"join","room":"general","after":1}`, "invalid", "epoch"},
	{"edit_of_another", `{"type":"edit","room":"general","id":"{id}","content":"mine now"}`, "forbidden", "id"},
	{"delete_of_another", `{"type":"delete","room":"general","id":"{id}"}`, "forbidden", "id"},
	{"hard_delete_of_another", `{"type":"delete","room":"general","id":"{id}","hard":true}`, "forbidden", "id"},
	{"edit_of_nothing", `{"type":"edit","room":"general","id":"01KAPT3H5VQ3K8M2N4P6R8T0W1","content":"x"}`, "not_found", "id"},
	{"edit_in_another_room", `{"type":"edit","room":"other","id":"{id}","content":"x"}`, "not_found", "id"},
	{"leave_of_what_is_not_joined", `{"type":"leave","room":"general"}`, "not_found", "room"},
}

func TestHostileCommandsGetNamedErrors(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{})
		pair := s.talk()
		pair.goesOn()
		_, err := s.Room("other").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		victim, err := s.Room("general").Send(t.Context(), chat.Message{User: "alice", Content: "hands off"})
		require.NoError(t, err)
		pair.bob.Expect("message")
		pair.alice.Expect("message")
		before := measure()
		t.Run("rows", func(t *testing.T) {
			m := s.in(t).dial("mallory")
			for _, row := range hostileCommands {
				t.Run(row.name, func(t *testing.T) {
					frame := strings.ReplaceAll(row.frame, "{id}", victim.ID)
					require.NoError(t, m.Write(maskedFrame(ws.OpText, true, []byte(frame))))
					ev, ok := m.Next()
					require.True(t, ok, "the connection is closed")
					require.Equal(t, "error", ev.Type, "%s", ev.Raw)
					require.Equal(t, row.code+" "+row.field, string(ev.Code)+" "+ev.Field, "%s", ev.Raw)
					require.Less(t, len(ev.Raw), 1000, "what was sent does not come back")
				})
			}
			m.Barrier()
		})
		pair.goesOn()
		before.back(t, 8<<20)
		m, err := s.Room("general").Message(t.Context(), victim.ID)
		require.NoError(t, err)
		require.Equal(t, "hands off", m.Content)
		page, err := s.Room("general").History(t.Context(), chat.Query{Limit: 100})
		require.NoError(t, err)
		for _, m := range page.Messages {
			require.Equal(t, "alice", m.User, "nothing that was refused is stored")
		}
	})
}

func TestCommandsBeforeAuthAreRefused(t *testing.T) {
	throughDoors(t, func(t *testing.T, d doorway) {
		s := d.open(t, chat.Options{})
		_, err := s.Room("general").Create(t.Context(), chat.RoomInfo{})
		require.NoError(t, err)
		m := s.dial("")
		for _, typ := range []string{"message", "join", "history", "rooms", "typing", "leave", "presence", "members", "edit", "delete"} {
			ev := m.Call(map[string]any{"type": typ, "room": "general", "content": "x", "id": "x"})
			require.Equal(t, chat.CodeUnauthenticated, ev.Code, "%s: %s", typ, ev.Raw)
		}
		m.Barrier() // a ping needs nobody
		require.Zero(t, s.Stats().Users)
		page, err := s.Room("general").History(t.Context(), chat.Query{Limit: 100})
		require.NoError(t, err)
		require.Empty(t, page.Messages)
	})
}
