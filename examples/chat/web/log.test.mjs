import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "./log.js";

const m = (seq, rev = seq, more = {}) => ({ id: `m${seq}`, seq, rev, content: `${seq}.${rev}`, ...more });
const seqs = (log) => log.messages.map((x) => x.seq);
const page = (from, to, more = false) => ({ epoch: "e", head: to, more, messages: Array.from({ length: to - from + 1 }, (_, i) => m(from + i)) });

test("whatever the order and however often, the log ends the same", () => {
  const frames = [m(1), m(2), m(3), m(4), m(2, 5), m(1, 6), m(2, 7)];
  for (let round = 0; round < 200; round++) {
    const log = new Log();
    log.start({ epoch: "e", head: 0 });
    const some = [...frames, ...frames].map((f) => [Math.random(), f]).sort((a, b) => a[0] - b[0]);
    for (const [, f] of some) log.change(f);
    assert.deepEqual(log.messages.map((x) => x.content), ["1.6", "2.7", "3.3", "4.4"]);
    assert.equal(log.cursor, 7);
  }
});

test("a change to a message older than the oldest loaded is dropped, and moves the cursor", () => {
  const log = new Log();
  log.start(page(11, 20, true));
  assert.equal(log.change(m(3, 21)), false);
  assert.deepEqual(seqs(log)[0], 11);
  assert.equal(log.cursor, 21);
});

test("the cursor moves by changes and synced, not by an own copy or history", () => {
  const log = new Log();
  log.start(page(11, 20, true));
  log.put({ ...m(25), local: true });
  assert.equal(log.cursor, 20);
  log.prepend({ ...page(1, 10), head: 99 });
  assert.equal(log.cursor, 20);
  assert.deepEqual(seqs(log).slice(0, 3), [1, 2, 3]);
  for (let s = 21; s <= 25; s++) log.change(m(s));
  assert.equal(log.cursor, 25);
  assert.equal(new Set(seqs(log)).size, 25);
  assert.equal(log.get("m25").local, undefined, "the frame takes the place of the own copy");
  log.advance(30);
  log.advance(12);
  assert.equal(log.cursor, 30);
});

test("an older state never replaces a newer one, also out of a history page", () => {
  const log = new Log();
  log.start(page(5, 10, true));
  log.change(m(6, 40));
  log.prepend({ epoch: "e", messages: [m(4), m(6, 6)], more: true });
  assert.equal(log.get("m6").rev, 40);
});

test("a history page of another log is ignored", () => {
  const log = new Log();
  log.start(page(5, 10, true));
  assert.equal(log.prepend({ epoch: "other", messages: [m(1)], more: false }), false);
  assert.deepEqual(seqs(log)[0], 5);
  assert.equal(log.more, true);
});

test("starting over forgets everything", () => {
  const log = new Log();
  log.start(page(1, 30));
  log.start({ epoch: "f", head: 2, messages: [{ ...m(1), id: "n1" }] });
  assert.deepEqual(log.messages.map((x) => x.id), ["n1"]);
  assert.equal(log.cursor, 2);
  assert.equal(log.get("m5"), undefined);
});

test("trimming keeps the newest, and the rest can be paged in again", () => {
  const log = new Log();
  log.start(page(1, 50));
  assert.equal(log.trim(20), true);
  assert.deepEqual([seqs(log)[0], log.more, log.trim(20)], [31, true, false]);
  log.prepend(page(1, 30));
  assert.equal(log.messages.length, 50);
});
