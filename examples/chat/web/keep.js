// What is kept of a user between visits: their rooms, and what is written and not yet
// stored by the server. Tabs of one user share it, so each takes only its own out.

const KEY = "gabble.rooms.";

export class Keep {
  #storage;
  #key;
  #rooms = new Set(); // ids and nonces that this tab has ever had
  #nonces = new Set();

  constructor(storage, user) {
    this.#storage = storage;
    this.#key = KEY + user;
  }

  #read() {
    try {
      const list = JSON.parse(this.#storage.getItem(this.#key));
      return Array.isArray(list) ? list.filter(isRoom) : []; // anything may lie in a browser
    } catch {
      return [];
    }
  }

  // load answers with the rooms as save has been given them.
  load() {
    const list = this.#read();
    this.#note(list);
    return list;
  }

  save(rooms) {
    this.#note(rooms);
    const mine = new Map(rooms.map((r) => [r.id, { ...r, outbox: [...r.outbox] }]));
    for (const room of this.#read()) {
      const others = (room.outbox || []).filter((e) => !this.#nonces.has(e.nonce));
      if (mine.has(room.id)) mine.get(room.id).outbox.push(...others);
      else if (others.length || !this.#rooms.has(room.id)) mine.set(room.id, { ...room, outbox: others });
    }
    try {
      this.#storage.setItem(this.#key, JSON.stringify([...mine.values()]));
    } catch { /* full: then it is not remembered */ }
  }

  // unsent counts what the server may not have, of all tabs.
  get unsent() {
    return this.#read().reduce((n, r) => n + (r.outbox || []).filter((e) => e.status !== "held").length, 0);
  }

  clear() {
    try {
      this.#storage.removeItem(this.#key);
    } catch { /* blocked since */ }
  }

  #note(rooms) {
    for (const room of rooms) {
      this.#rooms.add(room.id);
      for (const e of room.outbox || []) this.#nonces.add(e.nonce);
    }
  }
}

function isRoom(r) {
  const { id, peer = "", outbox = [] } = r ?? {};
  return isText(id, peer) && Array.isArray(outbox) && outbox.every((e) => isText(e?.nonce, e?.content));
}

const isText = (...values) => values.every((v) => typeof v === "string");
