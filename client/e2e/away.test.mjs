// The server dies, the network goes: nothing is lost, nothing doubled, and what
// cannot be kept is said.
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { Link, Server, pause, person, quiet, say, sees, shown, texts, until, workdir } from "./harness.mjs";

const settled = (page) => until(async () => (await shown(page)).every((m) => m.state === "sent"), "everything is stored", 30_000);
const once = (list, text) => assert.equal(list.filter((t) => t === text).length, 1, `${text}: exactly once`);

test("the server is killed and comes back while both go on writing", async () => {
  const server = await Server.start();
  const alice = await person(server.url, "Alice");
  const bob = await person(server.url, "Bob");
  await say(alice, "before");
  await sees(bob, "before");

  const typed = { before: [], after: [] };
  let phase = "before";
  let writing = true;
  const write = async (page, name) => {
    for (let i = 1; writing; i++) {
      const text = `${name} ${i}`;
      const when = phase; // when it is typed, not when it arrives
      await say(page, text);
      if (when === phase) typed[when].push(text);
      await pause(typed.after.length < 30 ? 60 : 500); // a slow machine has enough to do
    }
  };
  const writers = [write(alice, "alice"), write(bob, "bob")];
  await pause(800);
  phase = "between"; // what is typed around this moment may be on either side
  typed.between = [];
  await server.kill();
  phase = "after";
  await alice.waitForSelector("#status.warn");
  assert.match(await alice.textContent("#status"), /Offline|Connecting/);
  await until(() => typed.after.length >= 12, "a dozen is written while the server is away", 30_000);
  assert.ok((await shown(alice)).some((m) => m.state === "pending"), "messages wait with a clock");
  await server.start();
  await alice.waitForSelector("body[data-connection=online]");
  await bob.waitForSelector("body[data-connection=online]");
  const away = typed.after.length;
  await until(() => typed.after.length >= away + 4, "and some more after it came back", 30_000);
  writing = false;
  await Promise.all(writers);

  await settled(alice);
  await settled(bob);
  await until(async () => (await texts(alice)).join("\n") === (await texts(bob)).join("\n"), "both see the same");
  const list = await texts(alice);
  for (const text of typed.after) once(list, text);
  assert.equal(new Set(list).size, list.length, "nothing is there twice");
  for (const who of ["alice", "bob"]) {
    const own = list.filter((t) => t.startsWith(`${who} `)).map((t) => Number(t.split(" ")[1]));
    assert.deepEqual(own, [...own].sort((a, b) => a - b), "everybody's own order is kept");
  }
  // This store lives in memory: the log is another, and the page says so.
  for (const page of [alice, bob]) {
    assert.match(await page.textContent(".notice.reset"), /server's log is new/);
    assert.equal((await texts(page)).includes("before"), false);
  }
  await quiet(alice, bob);
});

test("with a database the conversation goes on where it was, and so does who one is", async () => {
  const server = await Server.start({ store: `sqlite:${path.join(workdir, "away.db")}` });
  const alice = await person(server.url, "Alice");
  await say(alice, "one");
  await settled(alice);
  const token = await server.login("Bob");
  await server.kill();
  await alice.waitForSelector("#status.warn");
  await say(alice, "two");
  await server.start();
  await settled(alice);
  await say(alice, "three");
  await until(async () => (await texts(alice)).join() === "one,two,three", "all of them, in order");
  await settled(alice);
  assert.equal(await alice.$(".notice.reset"), null);
  const rooms = await fetch(`${server.url}chat/rooms`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(rooms.status, 200, "a token from before the restart is still good");
  await quiet(alice);
});

test("a server that says goodbye: the page waits and comes back", async () => {
  const server = await Server.start();
  const alice = await person(server.url, "Alice");
  await say(alice, "one");
  await settled(alice);
  assert.equal(await server.end(), 0, server.log);
  await alice.waitForSelector("#status.warn");
  await say(alice, "two");
  await server.start();
  await settled(alice);
  assert.deepEqual(await texts(alice), ["two"]);
  await quiet(alice);
});

test("a reload does not lose what is waiting", async () => {
  const server = await Server.start();
  const link = await Link.to(server);
  const alice = await person(link.url, "Alice");
  await say(alice, "one");
  await settled(alice);
  link.cut();
  await alice.waitForSelector("#status.warn");
  await say(alice, "two");
  await say(alice, "three");
  link.mend();
  await alice.reload();
  await settled(alice);
  assert.deepEqual(await texts(alice), ["one", "two", "three"]);
  await quiet(alice);
});

test("offline and online again: resumed by cursor, without a gap, a double or a reset", async () => {
  const server = await Server.start();
  const alice = await person(server.url, "Alice");
  const bob = await person(server.url, "Bob");
  await say(alice, "a1");
  await sees(bob, "a1");
  for (let round = 1; round <= 2; round++) {
    await alice.context().setOffline(true);
    await alice.waitForSelector("#status.warn", { timeout: 20_000 });
    await say(alice, `alice offline ${round}`);
    for (let i = 0; i < 5; i++) await say(bob, `bob ${round}.${i}`);
    await settled(bob);
    await alice.context().setOffline(false);
    await settled(alice);
    await sees(bob, `alice offline ${round}`);
    await sees(alice, `bob ${round}.4`);
  }
  await until(async () => (await texts(alice)).join() === (await texts(bob)).join(), "both see the same");
  assert.deepEqual((await shown(alice)).map((m) => m.seq), Array.from({ length: 13 }, (_, i) => i + 1));
  assert.equal(await alice.$$eval(".notice.reset", (n) => n.length), 0);
  await quiet(alice, bob);
});

test("cut lines, at any moment: edits and deletes are not missed, acks may be lost", async () => {
  const server = await Server.start();
  const link = await Link.to(server);
  const alice = await person(link.url, "Alice");
  const bob = await person(server.url, "Bob");
  const all = [];
  for (let i = 0; i < 30; i++) {
    all.push(`a${i}`);
    await say(alice, `a${i}`);
    if (i % 5 === 4) {
      link.cut(); // what was just sent may or may not have arrived
      await pause(i * 3);
      link.mend();
    }
  }
  await settled(alice);
  await sees(bob, "a29");
  assert.deepEqual(await texts(alice), all);
  assert.deepEqual(await texts(bob), all);

  await say(bob, "to be changed");
  await say(bob, "to be deleted");
  await sees(alice, "to be deleted");
  await settled(bob);
  link.cut();
  await alice.waitForSelector("#status.warn");
  await bob.hover(".message.own >> nth=1");
  await bob.click(".message.own >> nth=1 >> [aria-label='Delete message']");
  await bob.click("#delete-yes");
  await sees(bob, "Message deleted");
  await bob.press("#text", "ArrowUp");
  await say(bob, "changed");
  await sees(bob, "changed");
  link.mend();
  await sees(alice, "changed");
  await sees(alice, "Message deleted");
  assert.deepEqual(await texts(alice), [...all, "changed", "Message deleted"]);
  assert.equal(await alice.$$eval(".notice.reset", (n) => n.length), 0);
  await quiet(alice, bob);
});

test("a line that has gone silent is noticed on wake", async () => {
  const server = await Server.start();
  const link = await Link.to(server);
  const alice = await person(link.url, "Alice");
  link.silence();
  await say(alice, "into the void");
  await alice.evaluate(() => window.dispatchEvent(new Event("pageshow")));
  await alice.waitForSelector("#status.warn", { timeout: 6_000 });
  link.mend();
  const retry = alice.locator("#retry-now");
  await retry.click({ timeout: 5_000 }).catch(() => {}); // it may be back by itself
  await settled(alice);
  assert.deepEqual(await texts(alice), ["into the void"]);
  await quiet(alice);
});
