// A room's log as far as it is loaded. Pure: frames in, messages out.
//
// The merge rule: by id, the higher rev wins; sort by seq; a change to a
// message older than the oldest one loaded is dropped.
//
// The cursor is the highest rev that has been handled. It moves only by change
// frames, by synced, and by pages that start over; never by an ack, because
// what others changed below that rev may still be on its way.
export class Log {
  epoch = "";
  cursor = -1; // -1: nothing loaded yet
  messages = []; // by seq upwards
  more = false; // there are older ones
  #byId = new Map();

  get loaded() {
    return this.cursor >= 0;
  }

  get newestSeq() {
    return this.messages.length ? this.messages[this.messages.length - 1].seq : 0;
  }

  get(id) {
    return this.#byId.get(id);
  }

  // start throws away what is there and begins with the newest page.
  start({ epoch, head, messages = [], more = false }) {
    this.epoch = epoch;
    this.cursor = head;
    this.more = more;
    this.messages = [];
    this.#byId.clear();
    for (const m of messages) this.put(m);
  }

  // change handles a message, edit or delete frame. It says whether something
  // that is shown has changed.
  change(frame) {
    this.advance(frame.rev);
    return this.put(frame);
  }

  advance(rev) {
    if (rev > this.cursor) this.cursor = rev;
  }

  // put merges one message without moving the cursor.
  put(m) {
    const known = this.#byId.get(m.id);
    if (known) {
      if (m.rev < known.rev || (m.rev === known.rev && !known.local)) return false;
      this.messages[this.#indexOf(known.seq)] = m;
      this.#byId.set(m.id, m);
      return true;
    }
    const oldest = this.messages[0];
    if (oldest && m.seq < oldest.seq && this.more) return false;
    this.messages.splice(this.#indexOf(m.seq), 0, m);
    this.#byId.set(m.id, m);
    return true;
  }

  // prepend merges a page of older history, unless it is of another log.
  prepend({ epoch, messages = [], more = false }) {
    if (epoch && epoch !== this.epoch) return false;
    this.more = false; // for put: these may be older than the oldest
    for (const m of messages) this.put(m);
    this.more = more;
    return true;
  }

  // turn goes over into the epoch in which the log goes on, with the cursor where
  // it is. What is only known from an ack beyond it comes again, if it is still
  // there. It says whether the rest is of that log for sure.
  turn(epoch) {
    if (epoch === this.epoch) return true;
    this.epoch = epoch;
    const beyond = this.messages.filter((m) => m.rev > this.cursor);
    for (const m of beyond.filter((m) => m.local)) {
      this.messages.splice(this.messages.indexOf(m), 1);
      this.#byId.delete(m.id);
    }
    return beyond.every((m) => m.local);
  }

  // forget throws away what is there, to be begun anew.
  forget() {
    this.cursor = -1;
  }

  // trim forgets the oldest messages beyond keep; history has them.
  trim(keep) {
    const excess = this.messages.length - keep;
    if (excess <= 0) return false;
    for (const m of this.messages.splice(0, excess)) this.#byId.delete(m.id);
    this.more = true;
    return true;
  }

  // indexOf finds where seq is, or belongs. Most messages go to the end.
  #indexOf(seq) {
    const list = this.messages;
    let low = 0;
    let high = list.length;
    if (high && list[high - 1].seq < seq) return high;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (list[mid].seq < seq) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
