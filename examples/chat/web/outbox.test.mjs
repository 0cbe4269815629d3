import assert from "node:assert/strict";
import { test } from "node:test";
import { BOUND, Outbox } from "./outbox.js";

test("one is on its way at a time, in order", () => {
  const box = new Outbox();
  for (const n of ["a", "b", "c"]) box.add(n, n, 0);
  assert.equal(box.next(0, 0).nonce, "a");
  assert.equal(box.next(0, 0), null);
  box.settle("a");
  assert.equal(box.next(0, 0).nonce, "b");
});

test("after a lost connection the same goes out again, with the same nonce", () => {
  const box = new Outbox();
  box.add("a", "a", 0);
  box.next(0, 0);
  box.grounded();
  const again = box.next(1, 0);
  assert.deepEqual([again.nonce, again.sent], ["a", true]);
});

test("settled by the frame first, the ack finds nothing left", () => {
  const box = new Outbox();
  box.add("a", "a", 0);
  box.add("b", "b", 0);
  box.next(0, 0);
  assert.equal(box.settle("a").content, "a");
  assert.equal(box.settle("a"), null);
  assert.equal(box.next(0, 0).nonce, "b");
});

test("what was tried and is older than the server remembers is not sent by itself", () => {
  const box = new Outbox();
  box.add("tried", "t", 0);
  box.next(0, 1000);
  box.grounded();
  box.add("never tried", "n", 0);
  assert.equal(box.next(5000, 1000).nonce, "n");
  assert.deepEqual([box.entries[0].status, box.entries[0].error], ["failed", "expired"]);
  box.retry("t", "fresh", 6000);
  assert.deepEqual([box.entries[0].nonce, box.entries[0].status, box.entries[0].sent], ["fresh", "pending", false]);
});

test("a failed one does not hold up the others, and keeps its nonce for a retry", () => {
  const box = new Outbox();
  box.add("a", "a", 0);
  box.add("b", "b", 0);
  box.next(0, 0);
  box.fail("a", "no");
  assert.equal(box.next(0, 0).nonce, "b");
  box.settle("b");
  box.retry("a", "x", 1);
  assert.equal(box.next(1, 0).nonce, "a");
});

test("it is bounded", () => {
  const box = new Outbox();
  for (let i = 0; i < BOUND; i++) box.add("x", String(i), 0);
  assert.equal(box.full, true);
});
