// Typing, both ways. Pure but for the time it is told.

// Typists are those who type in a room. A signal that ends it may be lost, so
// each entry ends by itself.
export class Typists {
  #until = new Map(); // user id -> { user, until }

  set(user, active, now, ttl) {
    if (active) this.#until.set(user.id, { user, until: now + ttl });
    else this.#until.delete(user.id);
  }

  delete(id) {
    return this.#until.delete(id);
  }

  clear() {
    this.#until.clear();
  }

  // at lists who types, and forgets who has stopped.
  at(now) {
    for (const [id, t] of this.#until) if (t.until <= now) this.#until.delete(id);
    return [...this.#until.values()].map((t) => t.user);
  }

  // nextEnd is when the list has to be looked at again; 0: never.
  get nextEnd() {
    let end = 0;
    for (const t of this.#until.values()) if (!end || t.until < end) end = t.until;
    return end;
  }
}

// Keystrokes decides when a typing frame is due: one per interval while
// somebody types, and one that ends it.
export class Keystrokes {
  #last = -Infinity;
  #active = false;

  // key answers how long to wait before an active frame is sent: 0, now; less
  // than 0, not at all, those who watch know already.
  key(now, interval) {
    const wait = this.#last + interval - now;
    if (wait > 0) return this.#active ? -1 : wait;
    this.#last = now;
    this.#active = true;
    return 0;
  }

  // stop: is an end due?
  stop() {
    const due = this.#active;
    this.#active = false;
    return due;
  }
}
