// Messages of one room that are written and not yet known to be stored. Pure.
//
// One is on its way at a time, so that what was typed in order is stored in
// order, also where the server asks to wait with one of them. The nonce is made
// before the first try and stays: a retry can never become a second message.

export const BOUND = 100;

export class Outbox {
  entries = []; // { nonce, content, at, status: "pending" | "failed" | "held", sent, error }
  #flying = null; // the nonce that waits for its answer

  constructor(entries = []) {
    this.entries = entries;
  }

  get full() {
    return this.entries.length >= BOUND;
  }

  has(nonce) {
    return this.entries.some((e) => e.nonce === nonce);
  }

  add(content, nonce, at) {
    const entry = { nonce, content, at, status: "pending", sent: false, error: "" };
    this.entries.push(entry);
    return entry;
  }

  // next hands out the entry to send now, if it is anybody's turn. ttl is how
  // long the server knows nonces, 0 for good: what has been tried and is older
  // could be stored twice, so that is for the user to decide.
  next(now, ttl) {
    if (this.#flying !== null) return null;
    for (const entry of this.entries) {
      if (entry.status !== "pending") continue;
      if (ttl > 0 && entry.sent && now - entry.at > ttl) {
        this.fail(entry.nonce, "expired");
        continue;
      }
      entry.sent = true;
      this.#flying = entry.nonce;
      return entry;
    }
    return null;
  }

  // settle takes out what the server has stored, whichever way that was heard.
  settle(nonce) {
    const at = this.entries.findIndex((e) => e.nonce === nonce);
    if (at < 0) return null;
    this.landed(nonce);
    return this.entries.splice(at, 1)[0];
  }

  // landed ends the flight of an entry that stays, to be tried again.
  landed(nonce) {
    if (this.#flying === nonce) this.#flying = null;
  }

  // grounded: the connection is gone, and with it the answer.
  grounded() {
    this.#flying = null;
  }

  get flying() {
    return this.#flying;
  }

  fail(nonce, error) {
    const entry = this.entries.find((e) => e.nonce === nonce);
    this.landed(nonce);
    if (!entry) return;
    entry.status = "failed";
    entry.error = error;
  }

  // hold keeps what the server has taken and not let through: somebody has to approve
  // of it. If they do it comes as a message, with its nonce.
  hold(nonce) {
    const entry = this.entries.find((e) => e.nonce === nonce);
    this.landed(nonce);
    if (entry) entry.status = "held";
  }

  // unsent are those that would be lost if they were forgotten here.
  get unsent() {
    return this.entries.filter((e) => e.status !== "held").length;
  }

  // retry puts a failed entry back in line. One whose nonce may be forgotten
  // gets a fresh one: the user has seen that and wants it sent.
  retry(nonce, freshNonce, now) {
    const entry = this.entries.find((e) => e.nonce === nonce);
    if (!entry || entry.status !== "failed") return;
    if (entry.error === "expired") {
      entry.nonce = freshNonce;
      entry.sent = false;
    }
    entry.at = entry.sent ? entry.at : now;
    entry.status = "pending";
    entry.error = "";
  }
}
