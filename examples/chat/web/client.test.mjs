import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "./client.js";
import { Emitter } from "./emitter.js";

// connection is one whose server answers rooms with these pages.
function connection(pages) {
  const asked = [];
  return {
    asked, online: true, states: new Emitter(), frames: new Emitter(),
    request: async (frame) => {
      asked.push(frame.cursor);
      return pages(frame.cursor);
    },
  };
}

const room = (id) => ({ id, kind: "public" });

test("the list of rooms goes on through pages that have none", async () => {
  const conn = connection((cursor) => {
    const at = Number(cursor ?? 0);
    return at < 8 ? { rooms: [], more: true, cursor: `${at + 1}` } : { rooms: [room("open")], more: false };
  });
  const client = new Client(conn, { id: "alice" });
  assert.deepEqual((await client.lookAround()).map((r) => r.id), ["open"]);
  assert.equal(conn.asked.length, 9);
  assert.deepEqual(client.offered.map((r) => r.id), ["open"]);
});

test("the list of rooms ends with enough of them, and after so many pages", async () => {
  const full = connection((cursor) => ({ rooms: Array.from({ length: 50 }, (_, i) => room(`r${cursor}-${i}`)), more: true, cursor: `${cursor}+` }));
  assert.equal((await new Client(full, { id: "alice" }).lookAround()).length, 200);
  const empty = connection((cursor) => ({ rooms: [], more: true, cursor: `${cursor}+` }));
  assert.deepEqual(await new Client(empty, { id: "alice" }).lookAround(), []);
  assert.equal(empty.asked.length, 20);
});
