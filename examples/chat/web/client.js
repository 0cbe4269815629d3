// Rooms over one connection: joins and resumes them, keeps their outboxes
// moving, routes frames. It knows no DOM; what changed is told to subscribers.
import { Failure } from "./connection.js";
import { Emitter } from "./emitter.js";
import { randomId } from "./random.js";
import { Room } from "./room.js";

const CHANGES = new Set(["message", "edit", "delete"]);
const LATER = new Set(["rate_limited", "unavailable", "timeout", "internal"]); // same nonce, try again
const JOIN_AT_ONCE = 100; // rooms in one frame; keeps it well below the size limit
const RETRY_MS = 2_000;
const TRIES = 5; // of an internal error, which may be for good

export class Client {
  rooms = new Map(); // by id
  offered = []; // public rooms that are not joined, as the server lists them
  changes = new Emitter(); // of { room } that changed, or {}
  arrivals = new Emitter(); // of { room, message }: somebody else's, new and live or caught up

  #connection;
  #me;
  #save;
  #hidden = new Map(); // direct rooms that were left -> the newest seq then
  #asked = new Set(); // rooms whose presence is being asked for
  #joinCount = 0;
  #joins = new Map(); // ref of a join under way -> its rooms

  // me is the user; saved are the rooms of an earlier page load, save is called
  // with them whenever they change.
  constructor(connection, me, { saved = [], save = () => {} } = {}) {
    this.#connection = connection;
    this.#me = me;
    this.#save = save;
    for (const { id, peer, outbox } of saved) this.rooms.set(id, new Room(id, me.id, { peer, outbox }));
    connection.states.subscribe((state) => this.#onState(state));
    connection.frames.subscribe((frame) => this.#onFrame(frame));
  }

  get online() {
    return this.#connection.online;
  }

  // unsent counts the messages that the server may not have.
  get unsent() {
    return [...this.rooms.values()].reduce((n, room) => n + room.outbox.unsent, 0);
  }

  get limits() {
    return this.#connection.limits;
  }

  // open joins a room by name; without a connection it is joined later.
  open(id) {
    let room = this.rooms.get(id);
    if (!room) {
      room = new Room(id, this.#me.id);
      this.rooms.set(id, room);
      this.offered = this.offered.filter((r) => r.id !== id);
      this.#join([room]);
      this.#changed(room);
      this.#keep();
    }
    return room;
  }

  // openDirect joins the room with another user and answers with it.
  async openDirect(user) {
    for (const room of this.rooms.values()) if (room.peer === user) return room;
    const frame = await this.#connection.request({ type: "join", user, history: 50 });
    return this.rooms.get(frame.room);
  }

  leave(room) {
    if (room.joined) this.#connection.request({ type: "leave", room: room.id }).catch(() => {});
    this.rooms.delete(room.id);
    if (room.direct) this.#hidden.set(room.id, room.log.newestSeq);
    this.#changed();
    this.#keep();
  }

  send(room, content) {
    if (room.outbox.full) throw new Failure("too_many", "Too many messages are waiting.");
    room.outbox.add(content, randomId(), Date.now());
    this.#pump(room);
    this.#changed(room);
    this.#keep();
  }

  retry(room, nonce) {
    room.outbox.retry(nonce, randomId(), Date.now());
    this.#pump(room);
    this.#changed(room);
    this.#keep();
  }

  discard(room, nonce) {
    room.outbox.settle(nonce);
    this.#changed(room);
    this.#keep();
  }

  edit(room, id, content) {
    return this.#connection.request({ type: "edit", room: room.id, id, content });
  }

  remove(room, id) {
    return this.#connection.request({ type: "delete", room: room.id, id });
  }

  typing(room, active) {
    if (room.joined) this.#connection.send({ type: "typing", room: room.id, active });
  }

  // loadOlder fetches the page before the oldest message there is.
  async loadOlder(room) {
    const oldest = room.log.messages[0];
    if (room.loadingOlder || !room.log.more || !oldest || !room.joined) return;
    room.loadingOlder = true;
    this.#changed(room);
    try {
      room.log.prepend(await this.#connection.request({ type: "history", room: room.id, before: oldest.seq, limit: 50 }));
    } catch { /* the reader scrolls again, or the connection comes back */ } finally {
      room.loadingOlder = false;
      this.#changed(room);
    }
  }

  // lookAround asks which rooms there are. A direct room that somebody has
  // opened with this user is joined: nothing else would tell of it.
  // Where there are many that this user may not see, a page has few rooms or none.
  async lookAround(enough = 200, pages = 20) {
    const found = [];
    let cursor;
    for (let i = 0; i < pages && found.length < enough; i++) {
      const page = await this.#connection.request(cursor ? { type: "rooms", limit: 50, cursor } : { type: "rooms", limit: 50 });
      found.push(...page.rooms);
      cursor = page.cursor;
      if (!page.more || !cursor) break;
    }
    const news = found.filter((r) => r.kind === "direct" && !this.rooms.has(r.id) && r.last_message?.seq > (this.#hidden.get(r.id) ?? 0));
    const fresh = news.map((state) => {
      const room = new Room(state.id, this.#me.id, { peer: state.peers?.find((p) => p.id !== this.#me.id)?.id ?? this.#me.id });
      room.state = state;
      room.announce = true;
      this.rooms.set(room.id, room);
      return room;
    });
    if (fresh.length) {
      this.#join(fresh);
      this.#keep();
    }
    const open = found.filter((r) => r.kind === "public");
    const offered = open.filter((r) => !this.rooms.has(r.id));
    if (JSON.stringify(offered) !== JSON.stringify(this.offered)) {
      this.offered = offered;
      this.#changed();
    }
    return open;
  }

  #onState(state) {
    if (state.name === "online") {
      this.#me = this.#connection.user;
      this.#join([...this.rooms.values()]);
    } else {
      for (const room of this.rooms.values()) {
        if (this.#connection.blamed && room.outbox.flying) room.outbox.fail(room.outbox.flying, "invalid");
        room.joined = room.joining = false;
        room.outbox.grounded();
        room.typists.clear();
      }
      this.#connection.blamed = false;
      this.#joins.clear();
    }
    this.#changed();
  }

  // join asks for all of the rooms in one frame, whether they are new or to be
  // continued.
  #join(rooms) {
    if (!this.#connection.online) return;
    const due = rooms.filter((r) => !r.joined && !r.joining);
    for (let i = 0; i < due.length; i += JOIN_AT_ONCE) {
      const some = due.slice(i, i + JOIN_AT_ONCE);
      for (const room of some) room.joining = true;
      const ref = `join-${++this.#joinCount}`;
      this.#joins.set(ref, some);
      this.#connection.send({ type: "join", ref, rooms: some.map((r) => r.joinRequest()) });
    }
  }

  // onJoinError handles a join that was refused, as a whole or for one room.
  #onJoinError(frame, now) {
    const asked = this.#joins.get(frame.ref);
    const nth = /^rooms\[(\d+)\]/.exec(frame.field || ""); // a direct room may have no id yet
    const meant = frame.room ? asked.filter((r) => r.id === frame.room) : nth ? [asked[nth[1]]] : asked;
    const refused = meant.filter((r) => r?.joining);
    for (const room of refused) {
      room.joining = false;
      if (LATER.has(frame.code)) continue;
      room.error = frame.code;
      room.notice({ kind: "left", text: frame.code }, now);
    }
    if (LATER.has(frame.code)) setTimeout(() => this.#join(refused.filter((r) => this.rooms.has(r.id))), frame.retry_after_ms || RETRY_MS);
    this.#changed();
  }

  #onFrame(frame) {
    const now = Date.now();
    if (frame.type === "joined") return this.#onJoined(frame, now);
    if (frame.type === "error" && this.#joins.has(frame.ref)) return this.#onJoinError(frame, now);
    const room = this.rooms.get(frame.room);
    if (!room) return;
    if (CHANGES.has(frame.type)) {
      if (room.onChange(frame)) this.arrivals.emit({ room, message: frame });
      this.#pump(room);
    } else {
      this.#onOther(room, frame, now);
    }
    this.#changed(room);
  }

  #onOther(room, frame, now) {
    switch (frame.type) {
      case "reset":
        room.onReset(frame, now);
        this.#pump(room);
        break;
      case "synced":
        if (!room.onSynced(frame)) this.#join([room]);
        break;
      case "room":
        room.log.advance(frame.rev);
        room.state = frame.state;
        break;
      case "reaction": case "pin": case "member":
        room.log.advance(frame.rev); // shown by a later version of this page
        break;
      case "presence":
        if (frame.users) room.people.replace(frame.online || 0, frame.users);
        else room.onPresence(frame, now);
        this.#askWhoIsThere(room);
        break;
      case "typing":
        if (frame.user && frame.user.id !== this.#me.id) room.typists.set(frame.user, frame.active, now, this.limits.typing_ttl_ms || 6000);
        break;
      case "left":
        room.joined = false;
        room.error = frame.code || "left";
        room.notice({ kind: "left", text: room.error }, now);
        break;
    }
  }

  #onJoined(frame, now) {
    let room = this.rooms.get(frame.room);
    const direct = frame.state?.kind === "direct";
    if (!room) {
      if (!direct) { // left again before the answer came
        this.#connection.send({ type: "leave", room: frame.room });
        return;
      }
      const peers = frame.state.peers || [];
      room = new Room(frame.room, this.#me.id, { peer: peers.find((p) => p.id !== this.#me.id)?.id ?? this.#me.id });
      this.rooms.set(room.id, room);
      this.#keep();
    }
    if (!room.onJoined(frame, now)) {
      this.#join([room]);
      return;
    }
    if (room.announce) {
      room.announce = false;
      const message = room.log.messages[room.log.messages.length - 1];
      if (message && message.user?.id !== this.#me.id) this.arrivals.emit({ room, message });
    }
    this.#askWhoIsThere(room);
    this.#pump(room);
    this.#changed(room);
  }

  // askWhoIsThere mends the list after a lost signal, soon and once.
  #askWhoIsThere(room) {
    if (!room.people.doubtful || this.#asked.has(room.id)) return;
    this.#asked.add(room.id);
    setTimeout(() => {
      this.#asked.delete(room.id);
      if (room.joined && room.people.doubtful) this.#connection.send({ type: "presence", room: room.id });
    }, 1000);
  }

  // pump sends the room's next waiting message, if it is time.
  async #pump(room) {
    if (!room.joined || !this.#connection.online) return;
    const entry = room.outbox.next(Date.now(), this.limits.nonce_ttl_ms || 0);
    if (!entry) return;
    const { nonce, content } = entry;
    const epoch = room.log.epoch;
    try {
      const ack = await this.#connection.request({ type: "message", room: room.id, content, nonce });
      // An ack of a log that has been replaced meanwhile says nothing of the
      // new one: ask again, the nonce sorts it out.
      if (epoch === room.log.epoch) room.onAck(nonce, ack, this.#me);
      else room.outbox.landed(nonce);
    } catch (err) {
      entry.tries = (entry.tries || 0) + 1;
      if (err.code === "offline") return; // grounded already; the next join pumps
      if (!LATER.has(err.code) || (err.code === "internal" && entry.tries >= TRIES)) {
        room.outbox.fail(nonce, err.message);
      } else {
        setTimeout(() => {
          room.outbox.landed(nonce);
          this.#pump(room);
        }, err.retryAfter || RETRY_MS);
        return;
      }
    } finally {
      this.#changed(room);
      this.#keep();
    }
    this.#pump(room);
  }

  #keep() {
    this.#save([...this.rooms.values()].map((r) => ({ id: r.id, peer: r.peer, outbox: r.outbox.entries })));
  }

  #changed(room) {
    this.changes.emit({ room });
  }
}
