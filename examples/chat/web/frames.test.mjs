// The page is shown every frame that the protocol allows, whole and with whatever may be
// missing, in any order, and must be able to draw itself after each.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { Client } from "./client.js";
import { Emitter } from "./emitter.js";
import { items } from "./timeline.js";

const golden = new URL("../../../internal/wire/testdata/server/", import.meta.url);
const frames = readdirSync(golden).filter((f) => f.endsWith(".json")).map((f) => JSON.parse(readFileSync(new URL(f, golden), "utf8")));

// What every frame of a type has, says docs/protocol.md; everything else may be missing.
const ALWAYS = new Set(["type", "room", "id", "seq", "rev", "first_rev", "kind", "created_at", "code", "message", "epoch", "head", "messages", "rooms", "online", "state", "user", "more", "active", "users"]);

class Wire {
  online = true;
  limits = {};
  user = { id: "alice" };
  states = new Emitter();
  frames = new Emitter();
  waiting = [];
  send() { return true; }
  request(frame) {
    return new Promise((resolve, reject) => this.waiting.push({ frame, resolve, reject }));
  }
}

// drawn does what the views do with a client's rooms.
function drawn(client) {
  for (const room of client.rooms.values()) {
    assert.equal(typeof room.title, "string");
    room.last?.content.slice(0, 9);
    assert.ok(Array.isArray(room.people.list));
    for (const item of items(room, room.me)) {
      assert.ok(item.key, JSON.stringify(item));
      if (item.kind === "message") assert.ok(Number.isFinite(item.at), JSON.stringify(item));
      if (item.message?.seq !== undefined) assert.ok(Number.isInteger(item.message.seq));
    }
    const seqs = room.log.messages.map((m) => m.seq);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
  }
}

function random(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

// thinned leaves out some of what may be missing, at every depth; a hard-deleted message
// has no author and no content.
function thinned(value, rnd, depth = 0) {
  if (Array.isArray(value)) return value.map((v) => thinned(v, rnd, depth + 1));
  if (value === null || typeof value !== "object") return value;
  const out = {};
  for (const [k, v] of Object.entries(value)) {
    if (!ALWAYS.has(k) && rnd() < 0.4) continue;
    out[k] = thinned(v, rnd, depth + 1);
  }
  if ("seq" in out && "first_rev" in out && rnd() < 0.3) {
    delete out.user;
    delete out.content;
    out.deleted_at = "2026-11-22T18:00:00.123Z";
  }
  return out;
}

test("there are frames of every kind to try", () => {
  const types = new Set(frames.map((f) => f.type));
  for (const type of ["joined", "message", "edit", "delete", "reset", "synced", "left", "ack", "error", "presence", "typing", "room", "history", "rooms"]) assert.ok(types.has(type), type);
  assert.ok(frames.some((f) => f.type === "ack" && f.held), "a held command's answer");
});

for (let seed = 1; seed <= 300; seed++) {
  test(`frames, seed ${seed}`, async () => {
    const rnd = random(seed);
    const wire = new Wire();
    const client = new Client(wire, wire.user);
    const ids = [...new Set(frames.map((f) => f.room).filter(Boolean))];
    for (const id of ids) client.open(id);
    wire.states.emit({ name: "online" });
    for (let step = 0; step < 60; step++) {
      const frame = thinned(frames[Math.floor(rnd() * frames.length)], rnd);
      if (rnd() < 0.2) {
        const room = [...client.rooms.values()][Math.floor(rnd() * client.rooms.size)];
        if (room && !room.outbox.full) client.send(room, `own ${step}`);
      }
      if (rnd() < 0.3 && wire.waiting.length) {
        // An answer of the kind that the request may get.
        const { frame: asked, resolve, reject } = wire.waiting.shift();
        const acks = frames.filter((f) => f.type === "ack");
        if (rnd() < 0.2) reject(Object.assign(new Error("no"), { code: "forbidden" }));
        else if (asked.type === "message" || asked.type === "edit" || asked.type === "delete") resolve(thinned(acks[Math.floor(rnd() * acks.length)], rnd));
        else reject(Object.assign(new Error("no"), { code: "offline" }));
      } else {
        wire.frames.emit(frame);
      }
      await new Promise((resolve) => setImmediate(resolve));
      drawn(client);
    }
  });
}

test("a held message waits, and comes when somebody has approved of it", async () => {
  const wire = new Wire();
  const client = new Client(wire, wire.user);
  const room = client.open("r");
  wire.frames.emit({ type: "joined", room: "r", epoch: "e", head: 0, messages: [], online: 1, users: [] });
  client.send(room, "first");
  client.send(room, "second");
  const { frame, resolve } = wire.waiting.shift();
  resolve({ type: "ack", room: "r", held: true });
  await new Promise((r) => setImmediate(r));
  drawn(client);
  assert.deepEqual(room.outbox.entries.map((e) => e.status), ["held", "pending"]);
  assert.equal(wire.waiting[0].frame.content, "second", "the next is not kept waiting");
  assert.equal(client.unsent, 1);
  wire.frames.emit({ type: "message", id: "m1", room: "r", seq: 1, rev: 1, first_rev: 1, user: { id: "alice" }, kind: "regular", content: "first", nonce: frame.nonce, created_at: "2026-11-22T18:00:00.123Z" });
  assert.deepEqual(room.outbox.entries.map((e) => e.content), ["second"]);
  drawn(client);
});
