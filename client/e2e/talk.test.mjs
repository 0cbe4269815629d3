// Two people and what they see of each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PHONE, Server, online, pause, person, quiet, say, sees, shown, texts, until, visit } from "./harness.mjs";

const server = await Server.start();
let room = 0;
const aRoom = () => `room-${++room}`; // one for each test

const sub = (page) => page.textContent("#room-sub");
const people = (page) => page.$$eval("#people-list .person", (rows) => rows.map((r) => r.children[1].textContent));

test("the first visit: a name is made up, the lobby is open, the composer has the focus", async () => {
  const page = await visit(server.url);
  await online(page);
  assert.match(await page.textContent("#me"), /\w+ \w+ \d+/);
  assert.equal(await page.textContent("#room-title"), "Lobby");
  assert.equal(await page.evaluate(() => document.activeElement.id), "text");

  const [second] = await Promise.all([page.context().waitForEvent("page"), page.click("#second")]);
  await second.waitForSelector("body[data-connection=online]");
  assert.notEqual(await second.textContent("#me"), await page.textContent("#me"));
  await until(async () => (await people(page)).length === 2, "both are there");
  await quiet(page);

  // A reload is the same person; signing out is not.
  const name = await page.textContent(".me-name");
  await page.reload();
  await online(page);
  assert.equal(await page.textContent(".me-name"), name);
  await page.click("#sign-out");
  await page.waitForSelector("#login:not([hidden])");
  assert.equal(await page.evaluate(() => localStorage.getItem("gabble.identity")), null);
});

test("the sign-in form says what is wrong", async () => {
  const page = await visit(server.url);
  await online(page);
  await page.click("#sign-out");
  await page.waitForSelector("#login:not([hidden])");
  await page.click("#login-submit");
  assert.match(await page.textContent("#login-error"), /name/);
  await page.fill("#login-name", "x".repeat(40));
  await page.click("#login-submit");
  await page.waitForFunction(() => document.querySelector("#login-error").textContent.includes("32"));
  await page.fill("#login-name", "Nora");
  await page.fill("#login-room", "#Book Club");
  await page.click("#login-submit");
  await online(page);
  assert.equal(await page.textContent("#room-title"), "book-club");
});

test("two people talk, on a desktop and on a phone", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice", where);
  const bob = await person(server.url, "Bob", { ...where, options: PHONE });
  await say(alice, "Hello, Bob");
  await sees(bob, "Hello, Bob");
  await say(bob, "Hello, Alice");
  await sees(alice, "Hello, Alice");
  assert.deepEqual(await texts(alice), ["Hello, Bob", "Hello, Alice"]);
  await until(async () => (await shown(alice))[0].state === "sent", "the tick turns");
  assert.deepEqual((await shown(alice)).map((m) => m.own), [true, false]);
  assert.deepEqual((await shown(bob)).map((m) => m.own), [false, true]);
  await quiet(alice, bob);
});

test("the composer: trims, blocks what is empty, Shift+Enter breaks, an input method keeps its Enter", async () => {
  const alice = await person(server.url, "Alice", { room: aRoom() });
  assert.equal(await alice.isDisabled("#send"), true);
  await say(alice, "   \n ");
  await alice.fill("#text", "  one");
  await alice.press("#text", "Shift+Enter");
  await alice.type("#text", "two  ");
  await alice.evaluate(() => document.querySelector("#text").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true })));
  assert.equal(await alice.inputValue("#text"), "  one\ntwo  ");
  await alice.press("#text", "Enter");
  await sees(alice, "one\ntwo");
  assert.equal(await alice.inputValue("#text"), "");
  assert.equal(await alice.evaluate(() => document.activeElement.id), "text");
  await alice.fill("#text", "x".repeat(4001));
  assert.equal(await alice.isDisabled("#send"), true);
  assert.equal(await alice.textContent("#count"), "1 too many");
  assert.equal((await texts(alice)).length, 1);
  await quiet(alice);
});

test("typing is seen, ends on blur, on sending, and by itself", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice", where);
  const bob = await person(server.url, "Bob", where);
  const typing = (yes) => until(async () => (await sub(alice)).includes("Bob is typing") === yes, `typing: ${yes}`, 9_000);
  await bob.type("#text", "h");
  await typing(true);
  await bob.evaluate(() => document.activeElement.blur());
  await typing(false);
  await pause(2_000); // the interval
  await bob.type("#text", "i");
  await typing(true);
  await bob.press("#text", "Enter");
  await typing(false);
  await pause(2_000);
  await bob.type("#text", "and now silence");
  await typing(true);
  await typing(false);
  await quiet(alice, bob);
});

test("presence is of people, not of tabs", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice", where);
  const bob = await person(server.url, "Bob", where);
  await until(async () => (await people(bob)).join() === "Alice,Bob", "Bob sees both");
  const tab = await person(server.url, "Alice", { ...where, of: alice });
  await say(tab, "from the second tab");
  await sees(alice, "from the second tab");
  assert.deepEqual((await shown(alice)).map((m) => m.own), [true], "it is her own in both tabs");
  assert.deepEqual(await people(bob), ["Alice", "Bob"]);
  await tab.close();
  await pause(6_500); // longer than the grace of who drops out
  assert.deepEqual(await people(bob), ["Alice", "Bob"]);
  assert.equal(await bob.$$eval(".notice.went", (n) => n.length), 0);
  await alice.context().close();
  await until(async () => (await people(bob)).join() === "Bob", "Alice is gone", 9_000);
  assert.match(await bob.textContent(".notice.went"), /Alice left/);
  await quiet(bob);
});

test("who comes later reads what was said, page by page, and nothing jumps", async () => {
  const where = aRoom();
  for (let writer = 0; writer < 7; writer++) {
    await server.post(`writer-${writer}`, where, Array.from({ length: 20 }, (_, i) => `line ${writer * 20 + i + 1}`));
  }
  const carol = await person(server.url, "Carol", { room: where });
  await sees(carol, "line 140");
  assert.equal((await shown(carol)).length, 50);
  const moved = await carol.evaluate(async () => {
    const scroller = document.querySelector("#scroller");
    // Rows that have just come in are still on their way.
    const moving = scroller.getAnimations({ subtree: true }).filter((a) => a.effect.getTiming().iterations !== Infinity);
    await Promise.allSettled(moving.map((a) => a.finished));
    scroller.scrollTop = 120;
    const row = [...document.querySelectorAll(".message")].find((r) => r.getBoundingClientRect().top > scroller.getBoundingClientRect().top);
    const before = row.getBoundingClientRect().top;
    await new Promise((resolve) => new MutationObserver(resolve).observe(document.querySelector("#timeline"), { childList: true }));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return Math.abs(row.getBoundingClientRect().top - before);
  });
  assert.ok(moved < 2, `the reader's place moved by ${moved} px`);
  await until(async () => {
    await carol.evaluate(() => { document.querySelector("#scroller").scrollTop = 0; });
    return (await shown(carol)).length === 140;
  }, "all pages are loaded");
  assert.deepEqual((await shown(carol)).map((m) => m.seq), Array.from({ length: 140 }, (_, i) => i + 1));

  // Reading further up is not interrupted by what comes in.
  await carol.evaluate(() => { document.querySelector("#scroller").scrollTop = 1000; });
  await server.post("writer-8", where, ["news", "more news"]);
  await carol.waitForSelector("#pill.news");
  assert.equal(await carol.textContent("#pill"), "2 new messages");
  assert.equal(await carol.evaluate(() => document.querySelector("#scroller").scrollTop), 1000);
  await carol.click("#pill");
  await carol.waitForSelector("#pill", { state: "hidden" });
  await quiet(carol);
});

test("own messages can be edited and deleted, and everybody sees it", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice", where);
  const bob = await person(server.url, "Bob", where);
  await say(alice, "first draft");
  await say(alice, "a mistake");
  await sees(bob, "a mistake");
  assert.equal(await bob.$$eval(".tools", (t) => t.length), 0, "others have nothing to edit with");

  await alice.hover(".message.own >> nth=0");
  await alice.click(".message.own >> nth=0 >> [aria-label='Edit message']");
  assert.equal(await alice.inputValue("#text"), "first draft");
  await alice.press("#text", "Escape");
  assert.equal(await alice.inputValue("#text"), "");
  await alice.click(".message.own >> nth=0 >> [aria-label='Edit message']");
  await say(alice, "final text");
  await sees(bob, "final text");
  assert.match(await bob.textContent(".message >> nth=0"), /final text/);

  await until(async () => (await shown(alice))[1].state === "sent", "stored");
  await alice.hover(".message.own >> nth=1");
  await alice.click(".message.own >> nth=1 >> [aria-label='Delete message']");
  await alice.click("#delete-yes");
  await sees(bob, "Message deleted");
  await until(async () => (await texts(alice)).join() === "final text,Message deleted", "gone for Alice too");
  assert.deepEqual(await texts(bob), ["final text", "Message deleted"]);

  const late = await person(server.url, "Late", where);
  assert.deepEqual(await texts(late), ["final text", "Message deleted"]);
  await quiet(alice, bob, late);
});

test("more than the server takes at once arrives all the same, once and in order", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice", where);
  const bob = await person(server.url, "Bob", where);
  const all = Array.from({ length: 45 }, (_, i) => `burst ${i}`);
  await alice.evaluate((lines) => {
    const text = document.querySelector("#text");
    for (const line of lines) {
      text.value = line;
      text.dispatchEvent(new Event("input"));
      document.querySelector("#composer").requestSubmit();
    }
  }, all);
  await sees(bob, all.at(-1));
  assert.deepEqual(await texts(bob), all);
  await until(async () => (await shown(alice)).every((m) => m.state === "sent"), "all ticks");
  assert.deepEqual(await texts(alice), all);
  await quiet(alice, bob);
});

test("a direct room: opened by a click, heard of by the other, between the two only", async () => {
  const where = { room: aRoom() };
  const alice = await person(server.url, "Alice D", where);
  const bob = await person(server.url, "Bob D", where);
  const eve = await person(server.url, "Eve D", where);
  await until(async () => (await people(alice)).length === 3, "all are there");
  await alice.click("#people-list button:has-text('Bob D')");
  await alice.waitForFunction(() => document.querySelector("#room-title").textContent === "Bob D");
  await say(alice, "just between us");
  await bob.waitForSelector(".room-row:has-text('Alice D') .badge", { timeout: 15_000 });
  await bob.click(".room-row:has-text('Alice D')");
  await sees(bob, "just between us");
  await say(bob, "of course");
  await sees(alice, "of course");
  assert.equal(await eve.$$eval(".room-row", (r) => r.some((x) => /between|course/.test(x.textContent))), false);

  // Back in the room by its row; the draft has stayed.
  await alice.fill("#text", "a draft");
  await alice.click(`.room-row[data-room='${where.room}']`);
  assert.equal(await alice.inputValue("#text"), "");
  await alice.click(".room-row:has-text('Bob D')");
  assert.equal(await alice.inputValue("#text"), "a draft");
  await alice.click("#leave");
  await alice.waitForSelector(".room-row:has-text('Bob D')", { state: "detached" });
  await quiet(alice, bob, eve);
});

test("what others write stays text", async () => {
  const where = { room: aRoom() };
  const mallory = await person(server.url, "<img src=x onerror=alert(1)>", where);
  const alice = await person(server.url, "Alice", where);
  const attacks = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "javascript:alert(1)",
    "[x](javascript:alert(1))", "https://example.com/\"onmouseover=\"alert(1)", "https://example.com/<b>x</b>", "&lt;b&gt;",
    "\u202egnp.exe", "data:text/html,<script>alert(1)</script>", "__proto__", "constructor",
  ];
  for (const a of attacks) await say(mallory, a);
  await sees(alice, attacks.at(-1));
  assert.deepEqual(await texts(alice), attacks);
  assert.equal(await alice.$$eval("#timeline img, #timeline script, #timeline b, #timeline svg[onload]", (e) => e.length), 0);
  const anchors = await alice.$$eval("#timeline a", (as) => as.map((a) => [a.protocol, a.rel]));
  assert.equal(anchors.length, 2);
  for (const [protocol, rel] of anchors) {
    assert.equal(protocol, "https:");
    for (const r of ["noopener", "nofollow", "ugc"]) assert.ok(rel.split(" ").includes(r));
  }
  await quiet(alice, mallory);
});
