import assert from "node:assert/strict";
import { test } from "node:test";
import { Room } from "./room.js";
import { items } from "./timeline.js";

const me = "alice";
const msg = (seq, user, nonce, more = {}) => ({ type: "message", id: `m${seq}`, room: "r", seq, rev: seq, user: { id: user }, kind: "regular", content: `c${seq}`, nonce, created_at: "2026-11-22T18:00:00.123Z", ...more });
const joined = (more = {}) => ({ room: "r", epoch: "e", head: 0, messages: [], online: 1, users: [{ id: me }], ...more });
const shown = (room) => items(room, me).filter((i) => i.kind === "message").map((i) => (i.message ? i.message.content : `… ${i.entry.content}`));

function fresh() {
  const room = new Room("r", me);
  room.onJoined(joined(), 0);
  return room;
}

test("an own message is shown once, whichever of ack and frame comes first", () => {
  for (const frameFirst of [true, false]) {
    const room = fresh();
    room.outbox.add("c1", "n1", 0);
    room.outbox.next(0, 0);
    assert.deepEqual(shown(room), ["… c1"]);
    const steps = [() => room.onChange(msg(1, me, "n1")), () => room.onAck("n1", { id: "m1", seq: 1, rev: 1, created_at: "2026-11-22T18:00:00.123Z" }, { id: me })];
    for (const step of frameFirst ? steps : steps.reverse()) {
      step();
      assert.deepEqual(shown(room), ["c1"]);
    }
    assert.equal(room.log.cursor, 1);
  }
});

test("the row of an own message keeps its key when it is confirmed", () => {
  const room = fresh();
  room.outbox.add("c1", "n1", 0);
  const before = items(room, me).at(-1).key;
  room.onChange(msg(1, me, "n1"));
  assert.equal(items(room, me).at(-1).key, before);
});

test("somebody else's nonce settles nothing", () => {
  const room = fresh();
  room.outbox.add("mine", "n1", 0);
  room.onChange(msg(1, "bob", "n1"));
  assert.deepEqual(shown(room), ["c1", "… mine"]);
});

test("a reset starts over, says so, and keeps what waits", () => {
  const room = fresh();
  for (let s = 1; s <= 5; s++) room.onChange(msg(s, "bob"));
  room.outbox.add("waits", "n1", 0);
  room.outbox.add("arrived", "n2", 0);
  room.onJoined(joined({ epoch: "f", head: 2, reset: true, messages: [msg(1, "bob", "", { content: "new" }), msg(2, me, "n2", { content: "arrived" })] }), 0);
  assert.deepEqual(shown(room), ["new", "arrived", "… waits"]);
  assert.deepEqual(room.notices.map((n) => [n.kind, n.text]), [["reset", "replaced"]]);
  assert.deepEqual(room.joinRequest(), { room: "r", after: 2, epoch: "f" });
});

test("a resume keeps the position until the changes have come", () => {
  const room = fresh();
  room.onChange(msg(1, "bob"));
  room.onJoined(joined({ head: 9 }), 0);
  assert.deepEqual(room.joinRequest(), { room: "r", after: 1, epoch: "e" });
  assert.deepEqual(room.notices, []);
  room.log.advance(9);
  assert.equal(room.joinRequest().after, 9);
});

test("a log that goes on under another epoch keeps what is here", () => {
  const room = fresh();
  room.onChange(msg(1, "bob"));
  assert.equal(room.onJoined(joined({ epoch: "f", head: 1 }), 0), true);
  assert.deepEqual(room.joinRequest(), { room: "r", after: 1, epoch: "f" });
  assert.equal(room.onSynced({ epoch: "f", rev: 1 }), true);
  assert.equal(room.onSynced({ epoch: "g", rev: 1 }), true, "while it stays");
  assert.deepEqual(room.joinRequest(), { room: "r", after: 1, epoch: "g" });
  assert.deepEqual(room.notices, []);
  assert.deepEqual(shown(room), ["c1"]);
});

test("of another epoch, what was only acked is not believed", () => {
  const room = fresh();
  room.onChange(msg(1, "bob"));
  room.outbox.add("gone", "n1", 0);
  room.onAck("n1", { id: "x", seq: 2, rev: 2 }, { id: me });
  assert.equal(room.onJoined(joined({ epoch: "f", head: 1 }), 0), true);
  assert.deepEqual(shown(room), ["c1"]);
});

test("who was behind when the log went on under another epoch begins anew", () => {
  const room = fresh();
  room.onChange(msg(1, "bob"));
  room.onJoined(joined({ head: 9 }), 0);
  room.onChange(msg(4, "bob"));
  assert.equal(room.onJoined(joined({ epoch: "f", head: 5 }), 0), false);
  assert.deepEqual(room.joinRequest(), { room: "r", history: 50 });
  assert.equal(room.joined, false);
  assert.equal(room.onJoined(joined({ epoch: "f", head: 5, messages: [msg(5, "bob")] }), 0), true);
  assert.deepEqual(shown(room), ["c5"]);
});

test("a direct room is asked for by its other user", () => {
  const room = new Room("~x", me, { peer: "bob" });
  assert.deepEqual(room.joinRequest(), { user: "bob", history: 50 });
  room.onJoined(joined({ head: 3 }), 0);
  assert.deepEqual(room.joinRequest(), { user: "bob", after: 3, epoch: "e" });
});

test("who is back before anything was said has not been away", () => {
  const room = fresh();
  const bob = { id: "bob" };
  room.onPresence({ online: 2, join: [bob] }, 0);
  assert.deepEqual(room.notices.map((n) => n.kind), ["came"]);
  room.onChange(msg(1, "bob"));
  room.onPresence({ online: 1, leave: [bob] }, 0);
  room.onPresence({ online: 2, join: [bob] }, 0);
  assert.deepEqual(room.notices.map((n) => n.kind), ["came"]);
});

test("a lost connection is nobody's coming or going", () => {
  const room = fresh();
  const bob = { id: "bob" };
  room.onPresence({ online: 2, join: [bob] }, 0);
  room.onChange(msg(1, "bob"));
  room.onJoined(joined(), 1000);
  assert.deepEqual(room.people.list.map((u) => u.id), [me]);
  room.onPresence({ online: 2, join: [bob] }, 2000);
  assert.deepEqual(room.notices.map((n) => n.kind), ["came"]);
  assert.equal(room.people.has("bob"), true);
});

test("count and list that disagree are doubtful, in small rooms", () => {
  const room = fresh();
  room.onPresence({ online: 3, join: [{ id: "bob" }] }, 0);
  assert.equal(room.people.doubtful, true);
  room.people.replace(3, [{ id: me }, { id: "bob" }, { id: "carl" }]);
  assert.equal(room.people.doubtful, false);
  room.people.replace(5000, [{ id: me }]);
  assert.equal(room.people.doubtful, false);
});

test("the unread line stands before what came while nobody looked", () => {
  const room = fresh();
  room.onChange(msg(1, "bob"));
  room.seen();
  for (const s of [2, 3]) if (room.onChange(msg(s, "bob"))) room.missed();
  assert.equal(room.unread, 2);
  const kinds = items(room, me).map((i) => i.kind);
  assert.deepEqual(kinds, ["day", "message", "unread", "message", "message"]);
});
