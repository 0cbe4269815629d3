import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Connection, Failure } from "./connection.js";

// A WebSocket whose other end is the test.
class Socket {
  static all = [];
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    Socket.all.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed = true; }
  open() { this.onopen?.({}); }
  say(frame) { this.onmessage?.({ data: JSON.stringify(frame) }); }
  end(code = 1006, reason = "") { this.onclose?.({ code, reason }); }
  welcome(more = {}) {
    this.open();
    this.say({ type: "welcome", user: { id: "alice" }, session: "s", heartbeat_ms: 25_000, limits: {}, ...more });
  }
}

const settle = async () => { for (let i = 0; i < 10; i++) await Promise.resolve(); };

function scene(t, getToken = async () => "token") {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  Socket.all = [];
  const reasons = [];
  const c = new Connection({ url: "ws://x/ws", WebSocket: Socket, getToken: (why) => { reasons.push(why); return getToken(why); } });
  const states = [];
  c.states.subscribe((s) => states.push(s.name));
  t.after(() => { c.stop(); mock.timers.reset(); });
  return { c, states, reasons, last: () => Socket.all.at(-1) };
}

async function online(s, more) {
  s.c.start();
  await settle();
  s.last().welcome(more);
}

test("the first frame is auth, the subprotocol is ours", async (t) => {
  const s = scene(t);
  await online(s);
  assert.deepEqual(s.last().protocols, ["gabble.v1.json"]);
  assert.equal(s.last().sent[0].type, "auth");
  assert.equal(s.last().sent[0].token, "token");
  assert.deepEqual(s.states, ["connecting", "online"]);
});

test("it comes back by itself after a loss and after 4000", async (t) => {
  const s = scene(t);
  await online(s);
  for (const code of [1006, 4000, 4001]) {
    const count = Socket.all.length;
    s.last().end(code);
    assert.equal(s.c.state.name, "offline");
    mock.timers.tick(20_000);
    await settle();
    assert.equal(Socket.all.length, count + 1);
    s.last().welcome();
    assert.equal(s.c.state.name, "online");
  }
});

test("it stays away after 4501, and after stop whatever happens", async (t) => {
  const s = scene(t);
  await online(s);
  s.last().end(4501, "banned");
  assert.deepEqual([s.c.state.name, s.c.state.code], ["closed", 4501]);
  mock.timers.tick(100_000);
  s.c.wake();
  s.c.retryNow();
  await settle();
  assert.equal(Socket.all.length, 1);
  await online(s);
  s.c.stop();
  s.c.wake();
  mock.timers.tick(100_000);
  await settle();
  assert.equal(Socket.all.length, 2);
});

test("stop while the token is still being fetched opens nothing", async (t) => {
  let give;
  const s = scene(t, () => new Promise((resolve) => { give = resolve; }));
  s.c.start();
  s.c.stop();
  give("late");
  await settle();
  assert.equal(Socket.all.length, 0);
});

test("a refused token is worth one try with a fresh one", async (t) => {
  const s = scene(t);
  s.c.start();
  await settle();
  s.last().open();
  s.last().end(4500);
  mock.timers.tick(20_000);
  await settle();
  assert.deepEqual(s.reasons, ["connect", "refused"]);
  s.last().open();
  s.last().end(4500);
  assert.deepEqual([s.c.state.name, s.c.state.code], ["closed", 4500]);
});

test("4003 fetches a token first; before that it is renewed in place", async (t) => {
  const s = scene(t);
  await online(s, { expires_in_ms: 600_000, heartbeat_ms: 10_000_000 });
  mock.timers.tick(540_000);
  await settle();
  assert.deepEqual(s.reasons, ["connect", "expiring"]);
  assert.equal(s.last().sent.at(-1).type, "auth");
  assert.equal(Socket.all.length, 1);
  s.last().end(4003);
  mock.timers.tick(20_000);
  await settle();
  assert.equal(s.reasons.at(-1), "expired");
});

test("silence is asked about, and given up on after 10 s", async (t) => {
  const s = scene(t);
  await online(s);
  mock.timers.tick(25_000);
  assert.equal(s.last().sent.at(-1).type, "ping");
  s.last().say({ type: "pong" });
  mock.timers.tick(25_000);
  mock.timers.tick(10_000);
  assert.equal(s.c.state.name, "offline");
});

test("on wake it asks at once and waits 3 s", async (t) => {
  const s = scene(t);
  await online(s);
  s.c.wake();
  assert.equal(s.last().sent.at(-1).type, "ping");
  mock.timers.tick(3_000);
  assert.equal(s.c.state.name, "offline");
  s.c.wake();
  await settle();
  assert.equal(Socket.all.length, 2);
});

test("the backoff is forgotten only after 10 s of stable life", async (t) => {
  mock.method(Math, "random", () => 1);
  t.after(() => mock.restoreAll());
  const s = scene(t);
  await online(s);
  for (const want of [250, 500, 1000]) {
    s.last().end();
    assert.equal(s.c.state.retryAt - Date.now(), want);
    mock.timers.tick(want);
    await settle();
    s.last().welcome();
  }
  mock.timers.tick(10_000);
  s.last().end();
  assert.equal(s.c.state.retryAt - Date.now(), 250);
});

test("reconnect: it leaves within the time it was given", async (t) => {
  const s = scene(t);
  await online(s);
  s.last().say({ type: "reconnect", after_ms: 5000, reason: "restart" });
  mock.timers.tick(5_000);
  assert.notEqual(s.c.state.name, "online");
});

test("a login that cannot be reached is tried again, its hint respected; a refused name is not", async (t) => {
  let failure = new Failure("rate_limited", "slow down", { retryAfter: 30_000 });
  const s = scene(t, async () => { throw failure; });
  s.c.start();
  await settle();
  assert.equal(s.c.state.retryAt - Date.now(), 30_000);
  failure = new Failure("invalid", "no name", { fatal: true });
  mock.timers.tick(30_000);
  await settle();
  assert.equal(s.c.state.name, "closed");
});

test("requests end with their answer, an error, or the connection", async (t) => {
  const s = scene(t);
  await online(s);
  const good = s.c.request({ type: "edit" });
  s.last().say({ type: "ack", ref: s.last().sent.at(-1).ref });
  assert.equal((await good).type, "ack");
  const bad = s.c.request({ type: "edit" });
  s.last().say({ type: "error", ref: s.last().sent.at(-1).ref, code: "forbidden", message: "no" });
  await assert.rejects(bad, { code: "forbidden" });
  const lost = s.c.request({ type: "edit" });
  s.last().end();
  await assert.rejects(lost, { code: "offline" });
});

test("what an abandoned socket still says is not listened to", async (t) => {
  const s = scene(t);
  await online(s);
  const old = s.last();
  const late = old.onmessage;
  old.end();
  const frames = [];
  s.c.frames.subscribe((f) => frames.push(f));
  late({ data: JSON.stringify({ type: "message" }) });
  assert.deepEqual(frames, []);
});
