// Who is in a room: by user, not by connection. Pure.

const LISTED = 200; // above it the server sends a sample

export class People {
  online = 0;
  #users = new Map();

  get list() {
    return [...this.#users.values()].sort((a, b) => shown(a).localeCompare(shown(b)));
  }

  has(id) {
    return this.#users.has(id);
  }

  // replace takes a list as it is now. It answers with who came and who went.
  replace(online, users = []) {
    const before = this.#users;
    this.online = online;
    this.#users = new Map(users.map((u) => [u.id, u]));
    return {
      came: users.filter((u) => !before.has(u.id)),
      went: [...before.values()].filter((u) => !this.#users.has(u.id)),
    };
  }

  // change takes a presence signal. Signals may be lost, and this one may say
  // what is known already.
  change({ online, join = [], leave = [] }) {
    this.online = online;
    const came = join.filter((u) => !this.#users.has(u.id));
    for (const u of join) this.#users.set(u.id, u);
    const went = leave.filter((u) => this.#users.delete(u.id));
    return { came, went };
  }

  // doubtful: count and list disagree, a signal was lost; ask.
  get doubtful() {
    return this.online <= LISTED && this.online !== this.#users.size;
  }
}

function shown(user) {
  return user.name || user.id;
}
