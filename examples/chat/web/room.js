// Everything the page knows of one room. Pure but for the time it is told: the
// client feeds it frames, the views read it.
import { Log } from "./log.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Typists } from "./typing.js";

const NOTICES = 50;
const RETURN_MS = 30_000;
const QUIET_ABOVE = 20; // who comes and goes is news in small rooms only
let notices = 0;

export class Room {
  log = new Log();
  people = new People();
  typists = new Typists();
  notices = []; // local lines: { id, after (seq), text, at, kind, user }
  joined = false; // on this connection
  joining = false;
  state = null; // title, topic, kind, peers
  error = "";
  loadingOlder = false;
  unread = 0;
  unreadAfter = -1; // seq of the last message seen before the unread line; -1: no line
  #seenSeq = -1;
  #behind = false; // is being sent what it has missed, perhaps folded
  #returning = new Map(); // user id -> until when their coming is a coming back

  constructor(id, me, { peer = "", outbox } = {}) {
    this.id = id;
    this.me = me;
    this.peer = peer; // the other user of a direct room
    this.outbox = new Outbox(outbox);
  }

  // joinRequest says where the room is to be continued, or begun. A direct room
  // is asked for by its other user: after a restart the server may not have it.
  joinRequest() {
    const which = this.peer ? { user: this.peer } : { room: this.id };
    return this.log.loaded ? { ...which, after: this.log.cursor, epoch: this.log.epoch } : { ...which, history: 50 };
  }

  // onJoined handles the answer. What it says of people is always the newest;
  // messages come with it only where the log starts over. It says whether the
  // room is joined: where the log has another epoch, and what is here may not be
  // of it, the room has to be begun anew.
  onJoined(frame, now) {
    const resumed = this.log.loaded && !frame.reset;
    if (resumed && frame.epoch !== this.log.epoch && (this.#behind || !this.log.turn(frame.epoch))) {
      this.#again();
      return false;
    }
    this.#behind = resumed;
    this.joined = true;
    this.joining = false;
    this.error = "";
    if (frame.state) this.state = frame.state;
    if (!resumed) this.#start(frame, frame.reset || this.log.loaded, now);
    // Who was here before the connection was lost and is not yet back has lost
    // theirs too, most likely: neither going nor coming.
    for (const user of this.people.list) this.#returning.set(user.id, now + RETURN_MS);
    this.people.replace(frame.online || 0, frame.users);
    return true;
  }

  // onSynced says whether the room is still joined, as onJoined does.
  onSynced({ epoch, rev }) {
    this.#behind = false;
    this.log.advance(rev);
    if (!epoch || this.log.turn(epoch)) return true;
    this.#again();
    return false;
  }

  #again() {
    this.#behind = this.joined = this.joining = false;
    this.log.forget();
  }

  onReset(frame, now) {
    this.#start(frame, true, now);
  }

  #start(page, again, now) {
    this.#behind = false;
    const replaced = again && page.epoch !== this.log.epoch;
    this.log.start(page);
    this.notices = [];
    this.unreadAfter = -1;
    this.#seenSeq = this.log.newestSeq;
    if (again) this.notice(replaced ? { kind: "reset", text: "replaced" } : { kind: "reset", text: "skipped" }, now);
    for (const m of this.log.messages) this.#settle(m);
  }

  // onChange handles a message, edit or delete. It says whether a message of
  // somebody else is new.
  onChange(frame) {
    const known = this.log.get(frame.id);
    const fresh = !known && frame.seq > this.log.newestSeq;
    const changed = this.log.change(frame);
    this.#settle(frame);
    if (frame.user) this.typists.delete(frame.user.id);
    return changed && fresh && frame.type === "message" && frame.user?.id !== this.me;
  }

  #settle(m) {
    if (m.nonce && m.user?.id === this.me) this.outbox.settle(m.nonce);
  }

  // onAck turns an own message into a stored one. Its frame may come before or
  // after; the log takes it once.
  onAck(nonce, ack, user) {
    // Held: it is no message yet, has no place and no id.
    if (ack.held || !ack.id || !ack.seq) return this.outbox.hold(nonce);
    const entry = this.outbox.settle(nonce);
    if (!entry) return;
    this.log.put({
      id: ack.id, room: this.id, seq: ack.seq, rev: ack.rev, first_rev: ack.rev, user, kind: "regular",
      content: entry.content, nonce, created_at: ack.created_at, local: true,
    });
  }

  onPresence(frame, now) {
    const { came, went } = this.people.change(frame);
    this.#comings(came, went, now);
    for (const u of went) this.typists.delete(u.id);
  }

  #comings(came, went, now) {
    if (this.people.online > QUIET_ABOVE || this.state?.kind === "direct") return;
    for (const user of came) {
      const until = this.#returning.get(user.id) || 0;
      this.#returning.delete(user.id);
      if (until <= now) this.#coming("came", "went", user, now);
    }
    for (const user of went) this.#coming("went", "came", user, now);
  }

  // coming adds a line, or takes away the one that it undoes: who is back before
  // anything was said has not been away.
  #coming(kind, opposite, user, now) {
    if (user.id === this.me) return;
    const after = this.log.newestSeq;
    const undone = this.notices.findIndex((n) => n.kind === opposite && n.user.id === user.id && n.after === after);
    if (undone >= 0) this.notices.splice(undone, 1);
    else this.notice({ kind, user }, now);
  }

  notice(line, now) {
    this.notices.push({ id: ++notices, after: this.log.newestSeq, at: now, ...line });
    if (this.notices.length > NOTICES) this.notices.shift();
  }

  // seen: everything up to the newest message is before the reader's eyes.
  seen() {
    this.unread = 0;
    this.#seenSeq = this.log.newestSeq;
  }

  // missed: a message came and nobody was looking.
  missed() {
    if (this.unread === 0) this.unreadAfter = this.#seenSeq;
    this.unread++;
  }

  get last() {
    const pending = this.outbox.entries[this.outbox.entries.length - 1];
    if (pending) return { own: true, content: pending.content, at: pending.at };
    for (let i = this.log.messages.length - 1; i >= 0; i--) {
      const m = this.log.messages[i];
      if (m.deleted_at) continue;
      return { own: m.user?.id === this.me, user: m.user, content: m.content || "", at: Date.parse(m.created_at) };
    }
    return null;
  }

  get title() {
    if (this.state?.kind === "direct" || this.peer) {
      const peers = this.state?.peers || [];
      const other = peers.find((p) => p.id !== this.me) || peers[0];
      return other?.name || other?.id || this.peer;
    }
    return this.state?.title || this.id;
  }

  get direct() {
    return Boolean(this.peer) || this.state?.kind === "direct";
  }
}
