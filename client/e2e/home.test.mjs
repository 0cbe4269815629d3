// What somebody meets who comes back, goes, or holds it in a hand.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { DESKTOP, Link, PHONE, Server, online, pause, person, quiet, say, sees, shown, until, visit } from "./harness.mjs";

const server = await Server.start();
const shots = process.env.GABBLE_SHOTS || mkdtempSync(path.join(tmpdir(), "gabble-shots-"));
mkdirSync(shots, { recursive: true });
const shoot = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

const me = (page) => page.textContent(".me-name");

test("tomorrow one is still who one was, and a second person is somebody else", async () => {
  const page = await visit(server.url);
  await online(page);
  const name = await me(page);
  const context = page.context();
  const [second] = await Promise.all([context.waitForEvent("page"), page.click("#second")]);
  await second.waitForSelector("body[data-connection=online]");
  const other = await me(second);
  assert.notEqual(other, name);
  await second.reload();
  await second.waitForSelector("body[data-connection=online]");
  assert.equal(await me(second), other);
  await second.close();
  await page.close();
  const again = await context.newPage();
  await again.goto(server.url);
  await online(again);
  assert.equal(await me(again), name);
});

test("signing out without a connection asks first, and ends at the door", async () => {
  const own = await Server.start();
  const link = await Link.to(own);
  const page = await person(link.url, "Nora");
  await say(page, "stored");
  await page.waitForSelector(".message.own.sent");
  link.cut();
  await page.waitForSelector("#status.warn");
  await say(page, "not stored");
  await page.waitForSelector(".message.pending");
  await page.click("#sign-out");
  assert.match(await page.textContent("#sign-out-why"), /1 message has not been sent/);
  await page.keyboard.press("Escape");
  assert.equal((await shown(page)).at(-1).text, "not stored", "staying keeps it");
  await page.click("#sign-out");
  await shoot(page, "sign-out-light");
  await page.click("#sign-out-yes");
  await page.waitForSelector("#login:not([hidden])");
  await page.fill("#login-name", "Olga");
  await page.click("#login-submit");
  await page.waitForFunction(() => document.querySelector("#login-error").textContent !== "");
  assert.ok(page.url().startsWith(link.url), "not an error page");
  link.mend();
  await page.click("#login-submit");
  await online(page);
  assert.equal(await me(page), "Olga");
  await sees(page, "stored");
  await pause(500);
  assert.deepEqual((await shown(page)).map((m) => m.text), ["stored"], "what was thrown away does not come back as somebody else's");
  await page.click("#sign-out");
  await page.waitForSelector("#login:not([hidden])"); // nothing unsent: no question
});

test("what was not sent is there after the tab was closed, and goes out once", async () => {
  const own = await Server.start();
  const link = await Link.to(own);
  const page = await person(link.url, "Nora");
  link.cut();
  await page.waitForSelector("#status.warn");
  await say(page, "later");
  await page.waitForSelector(".message.pending");
  const context = page.context();
  await page.close();
  link.mend();
  const [one, two] = [await context.newPage(), await context.newPage()];
  await Promise.all([one.goto(link.url), two.goto(link.url)]);
  for (const p of [one, two]) {
    await online(p);
    await p.waitForSelector(".message.own.sent");
  }
  await until(async () => (await shown(one)).length === 1 && (await shown(two)).length === 1, "once, in both");
});

test("a new public room appears in the list", async () => {
  const page = await person(server.url, "Alice");
  await server.post("maker", "brand-new", ["welcome"]);
  const row = "[data-offered=brand-new]";
  await page.waitForSelector(row, { timeout: 15_000 });
  await page.click(row);
  await page.waitForFunction(() => document.querySelector("#room-title").textContent === "brand-new");
  await sees(page, "welcome");
  await page.waitForSelector(row, { state: "detached" });
  await quiet(page);
});

test("a page over plain http can send, and what cannot be seen cannot be sent", async () => {
  const page = await visit("about:blank");
  await page.addInitScript(() => { delete Crypto.prototype.randomUUID; delete Crypto.prototype.subtle; });
  await page.goto(`${server.url}#plain`);
  await online(page);
  await say(page, "over http");
  await page.waitForSelector(".message.own.sent");
  for (const text of ["\u200b", "\u2800", "\u3164", "\ufe0f", "\u0301", "\u{e0041}", "\u2060 \u00ad"]) {
    await page.fill("#text", text);
    assert.equal(await page.isDisabled("#send"), true, JSON.stringify(text));
  }
  await page.fill("#text", "");
  await quiet(page);
});

test("thousands of lines are folded", async () => {
  await server.post("poet", "long", ["first", `a${"\n".repeat(3990)}z`, "last"]);
  for (const options of [DESKTOP, PHONE]) {
    const page = await person(server.url, "Reader", { options, room: "long" });
    await sees(page, "last");
    const height = () => page.$$eval(".message", (rows) => Math.max(...rows.map((r) => r.getBoundingClientRect().height)));
    assert.ok(await height() < 600, String(await height()));
    await shoot(page, options === PHONE ? "folded-phone" : "folded");
    await page.click(".more");
    assert.ok(await height() > 10_000, "all of it is there");
    await page.click(".more");
    assert.ok(await height() < 600);
    await quiet(page);
  }
});

// small lists what a finger can hit of an element that is smaller than it should be.
const small = (page) => page.evaluate(() => [...document.querySelectorAll("button, a[href], input, textarea, summary, [role=button]")]
  .filter((el) => el.checkVisibility({ visibilityProperty: true }))
  .map((el) => [el, (el.type === "checkbox" ? el.closest("label") : el).getBoundingClientRect()])
  .filter(([, r]) => r.width > 0 && (r.width < 44 || r.height < 43.5))
  .map(([el, r]) => `${el.tagName} ${el.id || el.className} ${el.textContent.slice(0, 20)} ${Math.round(r.width)}x${Math.round(r.height)}`));

test("a phone opens on the list of rooms, and everything fits a finger", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await visit(server.url, { ...PHONE, colorScheme });
    await page.waitForSelector("body[data-connection=online]");
    assert.equal(await page.evaluate(() => document.body.dataset.side), "open");
    assert.equal(await page.isVisible("#rooms .room-row"), true);
    assert.deepEqual(await small(page), [], "the list");
    await shoot(page, `phone-first-${colorScheme}`);
    await page.click("#rooms .room-row");
    await say(page, "a message with https://example.com/ in it");
    await page.waitForSelector(".message.own.sent");
    await page.click(".message.own.sent .bubble", { position: { x: 6, y: 6 } });
    await page.waitForSelector(".message.open .tools");
    assert.deepEqual((await small(page)).filter((s) => !s.startsWith("A ")), [], "a room"); // links in text are text
    await shoot(page, `phone-room-${colorScheme}`);
    await page.click(".message.open [aria-label='Edit message']");
    assert.deepEqual((await small(page)).filter((s) => !s.startsWith("A ")), [], "editing");
    await page.keyboard.press("Escape");
    for (const panel of ["people", "hood"]) {
      await page.click(`#show-${panel}`);
      if (panel === "hood") await page.waitForSelector("#hood-frames li");
      assert.deepEqual((await small(page)).filter((s) => !s.startsWith("A  ")), [], panel);
      await page.click(`[data-close=${panel}]`);
    }
    await page.click("#to-rooms");
    await page.click("#add-room");
    assert.deepEqual(await small(page), [], "the dialog");
    await page.keyboard.press("Escape");
    await page.click("#sign-out");
    await page.waitForSelector("#login:not([hidden])");
    assert.deepEqual(await small(page), [], "the door");
    await quiet(page);
  }
});
