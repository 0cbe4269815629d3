// What the page makes of frames that the protocol allows, without a browser.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const golden = new URL("../../internal/wire/testdata/server/", import.meta.url);

// page runs the script and answers with what it shows and how to feed it. There is no
// crypto.randomUUID, as on plain http.
function page({ script = "hello.js", storage = () => ({}) } = {}) {
  const lines = [];
  const sent = [];
  const element = () => ({ textContent: "", listeners: {}, value: "", addEventListener(name, f) { this.listeners[name] = f; } });
  const list = { append: (item) => lines.push(item.textContent), replaceChildren: () => { lines.length = 0; } };
  const elements = { messages: list, text: element(), form: element(), status: element() };
  let socket;
  const context = {
    document: { getElementById: (id) => elements[id], createElement: element },
    get sessionStorage() { return storage(); }, location: { href: "http://192.0.2.1/" }, URL, JSON, Array, Uint8Array,
    crypto: { getRandomValues: (a) => crypto.getRandomValues(a) },
    WebSocket: class { constructor() { socket = this; } send(data) { sent.push(JSON.parse(data)); } },
  };
  context.WebSocket.OPEN = 1;
  vm.runInNewContext(read(script), context);
  socket.readyState = context.WebSocket.OPEN;
  return { lines, sent, elements, get: (frame) => socket.onmessage({ data: JSON.stringify(frame) }), open: () => socket.onopen() };
}

test("names, authors and contents that are not there", () => {
  const p = page();
  const at = "2026-11-22T18:00:00.123Z";
  p.get({ type: "joined", room: "hello", epoch: "e", head: 4, online: 1, messages: [
    { id: "1", seq: 1, rev: 1, user: { id: "alice", name: "Alice" }, content: "a", created_at: at },
    { id: "2", seq: 2, rev: 2, user: { id: "bob" }, content: "b", created_at: at },
    { id: "3", seq: 3, rev: 3, deleted_at: at, created_at: at },
    { id: "4", seq: 4, rev: 4, user: { id: "bob" }, attachments: [{ url: "/x" }], created_at: at },
    { id: "5", seq: 5, rev: 5, kind: "system", content: "the room is new", created_at: at },
  ] });
  assert.deepEqual(p.lines, ["Alice: a", "bob: b", "(deleted)", "bob: (no text)", "the room is new"]);
  p.get({ type: "message", id: "6", seq: 6, rev: 6, user: { id: "carol" }, content: "c", created_at: at });
  assert.equal(p.lines.at(-1), "carol: c");
  p.get({ type: "ack", ref: "m", room: "hello", held: true });
  assert.match(p.lines.at(-1), /approval/);
  assert.ok(!p.lines.join().includes("undefined"));
});

test("every frame of the protocol is taken", () => {
  const p = page();
  p.open();
  for (const file of readdirSync(golden)) p.get(JSON.parse(readFileSync(new URL(file, golden), "utf8")));
  assert.ok(!p.lines.join().includes("undefined"), p.lines.join("\n"));
});

test("sending works on plain http", () => {
  const p = page();
  p.open();
  p.elements.text.value = "hi";
  p.elements.form.listeners.submit({ preventDefault() {} });
  assert.equal(p.sent[0].type, "auth");
  assert.equal(p.sent[1].content, "hi");
  assert.match(p.sent[1].nonce, /^[0-9a-f]{32}$/);
});

test("a browser that keeps nothing is let in, here and in ../cluster", () => {
  const blocked = () => { throw new DOMException("denied", "SecurityError"); };
  const full = () => Object.defineProperty({}, "secret", { get() {}, set() { throw new DOMException("full", "QuotaExceededError"); } });
  for (const script of ["hello.js", "../cluster/page/cluster.js"]) {
    for (const storage of [blocked, full]) {
      const p = page({ script, storage });
      p.open();
      assert.equal(p.sent[0].type, "auth");
      assert.match(p.sent[0].token, /^[0-9a-f]{32}$/);
    }
  }
});
