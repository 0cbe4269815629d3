// What all browser tests share: the built server, the browser, people.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach } from "node:test";
import { chromium } from "playwright-core";

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../..");
export const workdir = mkdtempSync(path.join(tmpdir(), "gabble-e2e-"));
const ends = []; // what to do at the end, the last first

after(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(workdir, { recursive: true, force: true });
});

// Pages that nobody looks at any more would only slow down the next test.
const contexts = new Set();

afterEach(async () => {
  for (const context of contexts) await context.close();
  contexts.clear();
});

let built = process.env.GABBLE_CHAT_BIN;

function binary() {
  if (!built) {
    const bin = path.join(workdir, "chat");
    execFileSync("go", ["build", "-o", bin, "./examples/chat"], { cwd: root, stdio: "inherit" });
    built = bin;
  }
  return built;
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// Server is one process of examples/chat that can be killed and started again
// on the same port.
export class Server {
  log = "";
  #process = null;

  // store is what -store names; memory forgets with the process.
  static async start({ store = "memory:" } = {}) {
    const server = new Server();
    server.store = store;
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}/`;
    ends.push(() => server.kill());
    await server.start();
    return server;
  }

  async start() {
    const child = spawn(binary(), ["-addr", `127.0.0.1:${this.port}`, "-store", this.store], { cwd: workdir, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    child.stdout.on("data", (d) => { this.log += d; });
    child.stderr.on("data", (d) => { this.log += d; });
    await until(async () => {
      assert.equal(child.exitCode, null, this.log);
      return (await fetch(`${this.url}healthz`).catch(() => null))?.ok;
    }, "the server is up");
  }

  // kill ends it without a word; end lets it say goodbye.
  kill() {
    return this.#signal("SIGKILL");
  }

  end() {
    return this.#signal("SIGTERM");
  }

  async #signal(signal) {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode) return null;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return gone;
  }

  async login(name) {
    const res = await fetch(`${this.url}login`, { method: "POST", body: JSON.stringify({ name }) });
    assert.equal(res.status, 200);
    return (await res.json()).token;
  }

  // post writes messages over REST, as somebody who is not in a browser.
  async post(name, room, texts) {
    const token = await this.login(name);
    const call = async (path, body) => {
      const res = await fetch(`${this.url}chat/rooms${path}`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      if (res.status !== 429) return res;
      await pause((await res.json()).retry_after_ms);
      return call(path, body);
    };
    const made = await call("", { id: room, kind: "public" });
    assert.ok(made.ok || made.status === 409, String(made.status));
    for (const content of texts) {
      const res = await call(`/${room}/messages`, { content });
      assert.ok(res.ok, `${res.status} ${await res.text()}`);
    }
  }
}

// Link is the network between a page and the server: it can be cut, or go
// silent as it does when a laptop sleeps.
export class Link {
  #sockets = new Set();
  #up = true;
  #silent = false;

  static async to(server) {
    const link = new Link();
    link.server = net.createServer((near) => link.#join(near, server.port));
    link.server.listen(0, "127.0.0.1");
    await new Promise((resolve) => link.server.once("listening", resolve));
    link.url = `http://127.0.0.1:${link.server.address().port}/`;
    ends.push(() => { link.cut(); link.server.close(); });
    return link;
  }

  #join(near, port) {
    if (!this.#up) return near.destroy();
    const far = net.connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]]) {
      this.#sockets.add(from);
      from.on("data", (d) => { if (!this.#silent) to.write(d); });
      from.on("error", () => {});
      from.on("close", () => { this.#sockets.delete(from); to.destroy(); });
    }
  }

  cut() {
    this.#up = false;
    for (const s of this.#sockets) s.destroy();
  }

  silence() {
    this.#silent = true;
  }

  mend() {
    if (this.#silent) for (const s of this.#sockets) s.destroy();
    this.#silent = false;
    this.#up = true;
  }
}

export const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
export const DESKTOP = { viewport: { width: 1280, height: 800 } };

let browser;

async function open() {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  }).then((b) => {
    ends.push(() => b.close());
    return b;
  });
  return browser;
}

async function browserOf(options) {
  const context = await (await open()).newContext(options);
  contexts.add(context);
  return context;
}

// What the browser itself writes to the console when the network is gone.
const NETWORK = /^(WebSocket connection to|Failed to load resource: net::)/;

// watch notes what must not be in a page's console.
function watch(page) {
  page.problems = [];
  page.on("console", (m) => { if (["error", "warning"].includes(m.type()) && !NETWORK.test(m.text())) page.problems.push(m.text()); });
  page.on("pageerror", (e) => page.problems.push(e.stack));
  page.on("dialog", (d) => { page.problems.push(`dialog: ${d.message()}`); d.dismiss(); });
}

// visit opens the page as nobody in particular; before runs in it first.
export async function visit(url, options = DESKTOP, before = () => {}) {
  const page = await (await browserOf(options)).newPage();
  watch(page);
  await page.addInitScript(before);
  await page.goto(url);
  return page;
}

// person opens the page and signs in by the form, in a browser of their own, or is
// who they are in a further tab of the one that of is in.
export async function person(url, name, { options = DESKTOP, of, room = "lobby" } = {}) {
  const context = of ? of.context() : await browserOf(options);
  const page = await context.newPage();
  watch(page);
  if (of) { // is the same person
    await page.goto(`${url}#${room}`);
    await online(page);
    return page;
  }
  await page.addInitScript(() => {
    if (!localStorage.getItem("gabble.identity")) localStorage.setItem("gabble.signed-out", "1");
  });
  await page.goto(url);
  await page.fill("#login-name", name);
  await page.fill("#login-room", room);
  await page.click("#login-submit");
  await online(page);
  return page;
}

export async function online(page) {
  await page.waitForSelector("body[data-connection=online]", { timeout: 30_000 });
  await page.waitForSelector("#room-sub:not(:empty)");
}

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

// shown is what the conversation shows, from top to bottom.
export function shown(page) {
  return page.$$eval("#timeline .message", (rows) => rows.map((r) => ({
    text: r.querySelector(".bubble").textContent, state: r.dataset.state, seq: Number(r.dataset.seq), own: r.classList.contains("own"),
  })));
}

export async function texts(page) {
  return (await shown(page)).map((m) => m.text);
}

export const sees = (page, text) => page.waitForFunction(
  (t) => [...document.querySelectorAll("#timeline .message .bubble")].some((b) => b.textContent === t), text);

// until waits for something to become true.
export async function until(check, what, ms = 20_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    if (await check()) return;
    assert.ok(Date.now() < deadline, `not in time: ${what}`);
    await pause(50);
  }
}

// pause is for what must not happen: there is no event to wait for.
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// quiet asserts that nothing was wrong, and that nothing is shown twice.
export async function quiet(...pages) {
  for (const page of pages) {
    assert.deepEqual(page.problems, []);
    const seqs = (await shown(page)).map((m) => m.seq).filter(Boolean);
    assert.equal(new Set(seqs).size, seqs.length, "a message is shown twice");
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b), "the order is the server's");
  }
}
