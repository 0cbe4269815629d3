// What it looks like, by day and by night, on a desk and in a hand, and whether
// everybody can use it.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { DESKTOP, PHONE, Server, online, person, quiet, say, sees, until, visit } from "./harness.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.GABBLE_SHOTS || mkdtempSync(path.join(tmpdir(), "gabble-shots-"));
mkdirSync(shots, { recursive: true });
const server = await Server.start();

// accessible asserts that axe finds nothing serious.
async function accessible(page, where) {
  // Colours are judged when they have settled.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect.getComputedTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${where}: ${v.id}: ${v.nodes.map((n) => `${n.html.slice(0, 120)} ${n.failureSummary}`).join(" | ")}`), []);
}

const shoot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

test("screens", async () => {
  const day = { ...DESKTOP, colorScheme: "light" };
  const night = { ...DESKTOP, colorScheme: "dark" };
  const alice = await person(server.url, "Alice Ferrari", { options: day });
  await shoot(alice, "empty-light");
  await accessible(alice, "empty");
  const chiara = await person(server.url, "Chiara Lund", { options: night });
  const bob = await person(server.url, "Bob", { options: { ...PHONE, colorScheme: "dark" } });
  const dana = await person(server.url, "Dana Okafor", { options: { ...PHONE, colorScheme: "light" } });
  const script = [
    [alice, "Morning! Did the deploy go through?"],
    [bob, "It did, at 02:14."],
    [bob, "Nobody noticed, which is the point."],
    [chiara, "I noticed! My window said “Offline, retrying in 2 s”, I kept typing, and then everything was simply there, in order."],
    [alice, "Lovely. The write-up is here: https://example.com/notes/cursors (read the part about epochs).\nWorth ten minutes."],
    [dana, "שלום, זה מימין לשמאל"],
    [bob, "Reading it on the train"],
    [chiara, "Same. The picture with the ring is good"],
    [alice, "Oops, wrong room"],
    [alice, "Lunch at one?"],
  ];
  for (const [who, text] of script) {
    await say(who, text);
    for (const page of [alice, bob, chiara, dana]) await sees(page, text);
  }
  await until(() => alice.$$eval(".message.own", (rows) => rows.every((r) => r.dataset.state === "sent")), "all stored");
  await alice.hover(".message.own >> nth=-2");
  await alice.click(".message.own >> nth=-2 >> [aria-label='Delete message']");
  await shoot(alice, "delete-light");
  await accessible(alice, "delete");
  await alice.click("#delete-yes");
  await sees(dana, "Message deleted");
  await chiara.click("#people-list button:has-text('Dana')");
  await chiara.waitForFunction(() => document.querySelector("#room-title").textContent === "Dana Okafor");
  await say(chiara, "Do you have the slides?");
  await dana.waitForSelector(".badge", { state: "attached", timeout: 15_000 });
  await chiara.click(".room-row[data-room=lobby]");
  await bob.type("#text", "One is");
  await chiara.waitForFunction(() => document.querySelector("#room-sub").textContent.includes("typing"));

  for (const [page, name] of [[alice, "desktop-light"], [chiara, "desktop-dark"], [bob, "phone-dark"], [dana, "phone-light"]]) {
    await shoot(page, name);
    await accessible(page, name);
  }
  await dana.click("#to-rooms");
  await shoot(dana, "phone-rooms-light");
  await accessible(dana, "rooms on a phone");
  await bob.click("#show-people");
  await shoot(bob, "phone-people-dark");
  await bob.keyboard.press("Escape");
  assert.equal(await bob.isHidden("#people"), true);
  for (const [page, name] of [[alice, "hood-light"], [chiara, "hood-dark"]]) {
    await page.click("#show-hood");
    await page.click(".frames li:has-text('message') >> nth=0");
    await shoot(page, name);
    await accessible(page, name);
  }
  await chiara.click("#add-room");
  await shoot(chiara, "join-dark");
  await accessible(chiara, "join");
  await chiara.keyboard.press("Escape");
  assert.equal(await chiara.isHidden("#room-dialog"), true);

  // Without the server.
  await server.kill();
  for (const [page, name] of [[alice, "offline-light"], [dana, "offline-phone-light"]]) {
    if (page === dana) await dana.click(".room-row[data-room=lobby]");
    await page.waitForSelector("#status.warn");
    await say(page, "Typing goes on");
    await page.waitForSelector(".message.pending");
    await page.waitForSelector("#countdown");
    await shoot(page, name);
    await accessible(page, name);
  }
  await quiet(alice, bob, chiara, dana);
  console.log(`screenshots: ${shots}`);
});

test("the keyboard is enough", async () => {
  await server.start();
  const page = await visit(server.url);
  await online(page);
  await say(page, "first");
  await say(page, "second");
  await page.waitForFunction(() => document.querySelectorAll(".message.own.sent").length === 2);
  await page.focus("#scroller");
  await page.keyboard.press("ArrowUp");
  assert.match(await page.evaluate(() => document.activeElement.textContent), /second/);
  await page.keyboard.press("ArrowUp");
  assert.match(await page.evaluate(() => document.activeElement.textContent), /first/);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Edit message");
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("#text"), "first");
  await page.keyboard.press("Escape");
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.inputValue("#text"), "second");
  await page.keyboard.press("Escape");
  await accessible(page, "keyboard");

  await page.click("#sign-out");
  await page.waitForSelector("#login:not([hidden])");
  await shoot(page, "login-light");
  await accessible(page, "login");
  await quiet(page);
});
