import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE_MS, CAP_MS, blamesFrame, delay, verdict } from "./backoff.js";
import { hue, initials, onlyEmoji, parts, roomId } from "./text.js";
import { Keystrokes, Typists } from "./typing.js";

test("backoff is full jitter below a doubling step, to a cap", () => {
  assert.equal(delay(0, { random: () => 0 }), 0);
  assert.equal(delay(0, { random: () => 1 }), BASE_MS);
  assert.equal(delay(3, { random: () => 1 }), BASE_MS * 8);
  assert.equal(delay(50, { random: () => 1 }), CAP_MS);
  assert.ok(delay(0, { random: () => 0, hidden: true }) >= 5000);
});

test("close codes", () => {
  for (const code of [1000, 1001, 1005, 1006, 1009, 4000, 4001, 4002, 4499]) assert.equal(verdict(code), "again", String(code));
  assert.equal(verdict(4003), "renew");
  for (const code of [4500, 4501, 4502, 4503, 4999]) assert.equal(verdict(code), "away", String(code));
  assert.deepEqual([1002, 1003, 1007, 1009, 1006, 4000].map(blamesFrame), [true, true, true, true, false, false]);
});

const links = (text) => parts(text).filter((p) => p.href).map((p) => p.text);

test("links: only https, no punctuation of the sentence, the text always whole", () => {
  for (const [text, want] of [
    ["see https://a.example/x.", ["https://a.example/x"]],
    ["(https://a.example/x_(y))", ["https://a.example/x_(y)"]],
    ["http://a.example ftp://b.example javascript:alert(1)", []],
    ["https://", []],
    ["xhttps://a.example", []],
    ["https://user:pw@a.example", []],
    ["https://a.example,https://b.example", ["https://a.example,https://b.example"]],
    ["https://a.example https://b.example!", ["https://a.example", "https://b.example"]],
    ['<a href="https://a.example">', ["https://a.example"]],
  ]) {
    assert.deepEqual(links(text), want, text);
    assert.equal(parts(text).map((p) => p.text).join(""), text);
  }
});

test("links: hostile text takes no time", () => {
  const start = performance.now();
  for (const text of ["https://".repeat(20_000), `https://a.example/${"(".repeat(50_000)}`, `https://a.example/${")".repeat(50_000)}`, `https://a.example/${".".repeat(100_000)}`]) parts(text);
  assert.ok(performance.now() - start < 500);
});

test("avatars", () => {
  assert.deepEqual(["Alice Ferrari", "bob", "Jade Gecko 7", "42", "  ", "李 小龙"].map(initials), ["AF", "B", "JG", "4", "?", "李小"]);
  assert.equal(hue("bob"), hue("bob"));
  assert.ok(new Set(["alice", "bob", "carol", "dave", "erin", "frank"].map(hue)).size >= 4);
});

test("emoji and room names", () => {
  assert.deepEqual(["🎉🎉", "👩‍👩‍👧", "ok 🎉", "12", ""].map(onlyEmoji), [true, true, false, false, false]);
  assert.deepEqual(["#Book Club", "  ..x", "~mine", "💥"].map(roomId), ["book-club", "x", "mine", ""]);
});

test("typing is said once per interval, as soon as allowed, and ended once", () => {
  const keys = new Keystrokes();
  assert.equal(keys.key(0, 2000), 0);
  assert.equal(keys.key(500, 2000), -1);
  assert.equal(keys.stop(), true);
  assert.equal(keys.stop(), false);
  assert.equal(keys.key(600, 2000), 1400);
  assert.equal(keys.key(2000, 2000), 0);
  assert.equal(keys.key(4000, 2000), 0);
});

test("who types is forgotten by itself", () => {
  const typists = new Typists();
  typists.set({ id: "bob" }, true, 0, 6000);
  assert.equal(typists.at(5999).length, 1);
  assert.equal(typists.nextEnd, 6000);
  assert.equal(typists.at(6000).length, 0);
});
