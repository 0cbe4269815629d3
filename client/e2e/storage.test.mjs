// Browsers that keep nothing, or keep what the page has never written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { DESKTOP, Server, online, person, quiet, say, sees, visit } from "./harness.mjs";

const server = await Server.start();

const me = (page) => page.textContent(".me-name");

const blocked = () => {
  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, { get() { throw new DOMException("Access is denied for this document.", "SecurityError"); } });
  }
};

const full = () => {
  Storage.prototype.setItem = () => { throw new DOMException("The quota has been exceeded.", "QuotaExceededError"); };
};

for (const [what, before] of Object.entries({ blocked, full })) {
  test(`storage that is ${what} keeps nobody out`, async () => {
    const page = await visit(server.url, DESKTOP, before);
    await online(page);
    const name = await me(page);
    await say(page, `by ${name}`);
    await sees(page, `by ${name}`);
    await page.waitForSelector(".message.own.sent");
    await page.click("#tip-close");
    await quiet(page);
    await page.click("#sign-out");
    await page.waitForSelector("#login:not([hidden])");
    await page.fill("#login-name", `Olga ${what}`);
    await page.click("#login-submit");
    await online(page);
    assert.equal(await me(page), `Olga ${what}`, "whom the form has let in");
    await quiet(page);
  });

  test(`a second person has storage that is ${what}`, async () => {
    const page = await visit(`${server.url}?second`, DESKTOP, before);
    await online(page);
    await quiet(page);
  });
}

test("what is kept and is nobody is forgotten", async () => {
  for (const text of ["5", "{}", "[]", '{"name":"Ann","token":"x"}', "not JSON"]) {
    const page = await visit(server.url, DESKTOP, { content: `localStorage.setItem("gabble.identity", ${JSON.stringify(text)})` });
    await online(page);
    const kept = await page.evaluate(() => JSON.parse(localStorage.getItem("gabble.identity")));
    assert.equal(kept.user.name, await me(page), text);
    await quiet(page);
    await page.context().close();
  }
});

test("what are kept and are no rooms are forgotten", async () => {
  const page = await person(server.url, "Rita");
  for (const rooms of ["5", "{}", '[5,{"id":"lobby","outbox":5},{"id":"x","outbox":[null]},{"id":"y","peer":5}]']) {
    await page.evaluate((text) => {
      const { user } = JSON.parse(localStorage.getItem("gabble.identity"));
      addEventListener("pagehide", () => localStorage.setItem(`gabble.rooms.${user.id}`, text));
    }, rooms);
    await page.reload();
    await online(page);
    await quiet(page);
  }
});
