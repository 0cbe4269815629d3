import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity, KEY } from "./identity.js";
import { Keep } from "./keep.js";
import { Shelf } from "./storage.js";

function storage() {
  const map = new Map();
  return { getItem: (k) => map.get(k) ?? null, setItem: (k, v) => map.set(k, String(v)), removeItem: (k) => map.delete(k), clear: () => map.clear() };
}

const room = (id, ...nonces) => ({ id, peer: "", outbox: nonces.map((nonce) => ({ nonce, content: nonce, at: 0, status: "pending" })) });
const seen = (keep) => keep.load().map((r) => [r.id, (r.outbox || []).map((e) => e.nonce).join()].join(":")).sort();

test("tabs of one person do not throw each other's messages away", () => {
  const shared = storage();
  const one = new Keep(shared, "alice");
  one.save([room("lobby", "a1"), room("x")]);
  const two = new Keep(shared, "alice");
  assert.deepEqual(seen(two), ["lobby:a1", "x:"]);
  two.save([room("lobby", "a1", "b1"), room("x"), room("y")]);
  one.save([room("lobby", "a2"), room("x")]); // a1 is stored; b1 and y one has never seen
  assert.deepEqual(seen(new Keep(shared, "alice")), ["lobby:a2,b1", "x:", "y:"]);
  assert.equal(one.unsent, 2);
  two.save([room("lobby"), room("y")]); // x is left, b1 stored
  assert.deepEqual(seen(new Keep(shared, "alice")), ["lobby:a2", "y:"]);
  assert.deepEqual(seen(new Keep(shared, "bob")), []);
  two.clear();
  assert.deepEqual(seen(new Keep(shared, "alice")), []);
});

test("what is not ours in the storage is nothing", () => {
  const shared = storage();
  for (const junk of ["{", "null", "7", '"x"', "[1,null,{}]"]) {
    shared.setItem("gabble.rooms.alice", junk);
    assert.deepEqual(new Keep(shared, "alice").load(), []);
  }
});

const answering = (ok) => async () => ({ ok, status: ok ? 200 : 400, json: async () => ({ user: { id: "alice", name: "Alice" }, token: "t", expires_in_ms: 1000 }) });

test("the browser's person is there tomorrow, a second one is only in their window", async () => {
  const browser = storage();
  const first = new Identity({ tab: storage(), browser, fetch: answering(true) });
  assert.equal(first.current, null);
  await first.signIn("Alice");
  assert.equal(new Identity({ tab: storage(), browser }).current.name, "Alice", "in another tab, another day");
  const copied = storage(); // what a window begins with that another one has opened
  copied.setItem("gabble.identity", "stale");
  const second = new Identity({ second: true, tab: copied, browser, fetch: answering(true) });
  assert.equal(second.current, null);
  await second.signIn("Bob");
  assert.equal(new Identity({ tab: copied, browser }).current.name, "Bob", "over a reload");
  second.signOut();
  assert.deepEqual([second.signedOut, second.current, first.signedOut, first.current.name], [true, null, false, "Alice"]);
  first.signOut();
  assert.deepEqual([new Identity({ tab: storage(), browser }).signedOut, first.current], [true, null]);
});

// bad is a storage that throws, always or where something is written.
function bad({ full = false } = {}) {
  const deny = () => { throw new DOMException("denied", full ? "QuotaExceededError" : "SecurityError"); };
  return full ? { ...storage(), setItem: deny } : { getItem: deny, setItem: deny, removeItem: deny, clear: deny };
}

const login = async () => Response.json({ user: { id: "u1", name: "Ann" }, token: "t", expires_in_ms: 1e6 });

test("who cannot be kept is somebody for as long as the page is open", async () => {
  for (const area of [bad(), bad({ full: true })]) {
    for (const second of [false, true]) {
      const identity = new Identity({ second, tab: area, browser: area, fetch: login });
      assert.equal(identity.current, null);
      assert.equal(identity.signedOut, false);
      await identity.signIn("Ann");
      assert.equal(identity.current.user.id, "u1");
      assert.equal(await identity.token("connect"), "t");
      assert.equal(identity.kept, false);
      identity.signOut();
      assert.equal(identity.current, null);
      assert.equal(identity.signedOut, true);
    }
  }
  const shelf = new Shelf(bad().getItem); // to name it is an error already
  shelf.setItem("a", 1);
  assert.equal(shelf.getItem("a"), "1");
  assert.equal(shelf.area, shelf);
  shelf.removeItem("a");
  assert.equal(shelf.getItem("a"), null);
});

test("a storage that has room again keeps again", () => {
  const area = storage();
  const { setItem } = area;
  const shelf = new Shelf(() => area);
  shelf.setItem("a", "old");
  area.setItem = bad().setItem;
  shelf.setItem("a", "new");
  assert.equal(shelf.getItem("a"), "new");
  assert.equal(shelf.keeps("a"), false);
  area.setItem = setItem;
  shelf.setItem("a", "newest");
  assert.equal(area.getItem("a"), "newest");
  assert.equal(shelf.keeps("a"), true);
});

const NOBODY = ["5", "{}", "[]", "null", "true", '"x"', "not JSON", "", '{"name":"a"}', '{"name":"a","token":"t"}', '{"name":"a","token":"t","user":{}}', '{"name":"a","token":5,"user":{"id":"u"}}', '[{"id":"x"}]'];

test("what is no identity is nobody, and removed", () => {
  for (const text of NOBODY) {
    const browser = storage();
    browser.setItem(KEY, text);
    const identity = new Identity({ tab: storage(), browser });
    assert.equal(identity.current, null, text);
    assert.equal(browser.getItem(KEY), null, text);
  }
});

test("what are no rooms are none", () => {
  for (const text of [...NOBODY, '[5,null,{"id":5},{"id":"a","outbox":5},{"id":"a","outbox":[5]},{"id":"a","outbox":[{}]},{"id":"a","outbox":null},{"id":"a","peer":5}]']) {
    const shared = storage();
    shared.setItem("gabble.rooms.alice", text);
    const keep = new Keep(shared, "alice");
    if (text !== '[{"id":"x"}]') assert.deepEqual(keep.load(), [], text);
    assert.equal(keep.unsent, 0, text);
    keep.save([room("lobby", "n")]);
    assert.ok(seen(new Keep(shared, "alice")).includes("lobby:n"), text);
  }
});
