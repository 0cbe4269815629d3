// One connection to the server, for as long as the page wants one.
//
//   idle → connecting → online → offline (comes back by itself) → …
//                                closed  (does not)
//
// It knows frames, refs and tokens; it has never heard of rooms.
import { Emitter } from "./emitter.js";
import { STABLE_MS, blamesFrame, delay, verdict } from "./backoff.js";

const PROTOCOL = "gabble.v1.json";
const WELCOME_MS = 10_000; // from the first byte to the welcome
const ANSWER_MS = 20_000; // the server itself gives up earlier, and says so
const PONG_MS = 10_000;
const WAKE_PONG_MS = 3_000;
const MAX_TIMER = 2 ** 31 - 1;

// Failure is why a request has no answer: the server's error, or ours with code
// "offline" or "timeout".
export class Failure extends Error {
  constructor(code, message, { field = "", retryAfter = 0, fatal = false } = {}) {
    super(message || code);
    this.code = code;
    this.field = field;
    this.retryAfter = retryAfter;
    this.fatal = fatal;
  }
}

export class Connection {
  state = { name: "idle" };
  limits = {};
  user = null;
  states = new Emitter(); // of this.state
  frames = new Emitter(); // of the server's frames
  wire = new Emitter(); // of everything that passes, for the curious

  #url;
  #getToken;
  #WebSocket;
  #hidden;
  #socket = null;
  #life = 0; // counts attempts: what belongs to an older one is not listened to
  #wanted = false; // the latch: after stop nothing reconnects
  #attempt = 0;
  #tokenReason = "connect";
  #ref = 0;
  #waiting = new Map();
  #heartbeat = 25_000;
  #timers = {};

  constructor({ url, getToken, WebSocket = globalThis.WebSocket, hidden = () => false }) {
    this.#url = url;
    this.#getToken = getToken;
    this.#WebSocket = WebSocket;
    this.#hidden = hidden;
  }

  get online() {
    return this.state.name === "online";
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#tokenReason = "connect";
    this.#connect();
  }

  stop() {
    this.#wanted = false;
    this.#drop(1000);
    this.#set({ name: "idle" });
  }

  // retryNow is the user's impatience: it skips the wait, not the count.
  retryNow() {
    if (this.state.name === "offline") this.#connect();
  }

  // wake is for when the world may have changed without a word: the network is
  // back, the laptop was opened, the tab is looked at again.
  wake() {
    if (this.state.name === "offline") this.#connect();
    else if (this.online) this.#probe(WAKE_PONG_MS);
  }

  // send passes one frame on and says whether there was anybody to take it.
  send(frame) {
    if (!this.online) return false;
    this.#write(frame);
    return true;
  }

  // request sends a frame and waits for the answer with its ref.
  request(frame) {
    return new Promise((resolve, reject) => {
      if (!this.online) return reject(new Failure("offline", "There is no connection."));
      const ref = String(++this.#ref);
      const timer = setTimeout(() => {
        this.#waiting.delete(ref);
        reject(new Failure("timeout", "The server does not answer."));
      }, ANSWER_MS);
      this.#waiting.set(ref, { resolve, reject, timer });
      this.#write({ ...frame, ref });
    });
  }

  async #connect() {
    this.#drop(1000);
    const life = this.#life;
    this.#set({ name: "connecting", attempt: this.#attempt });
    this.#after("welcome", WELCOME_MS, () => this.#lost(1006, "no answer"));
    let token;
    try {
      token = await this.#getToken(this.#tokenReason);
    } catch (err) {
      if (life !== this.#life) return;
      if (err.fatal) return this.#close(0, err.message);
      return this.#retry(err.message, err.retryAfter);
    }
    if (life !== this.#life) return;
    if (token === null) return this.#close(0, "signed out");
    const socket = new this.#WebSocket(this.#url, [PROTOCOL]);
    this.#socket = socket;
    const mine = (handle) => (event) => { if (life === this.#life) handle(event); };
    socket.onopen = mine(() => this.#write({ type: "auth", token, ref: String(++this.#ref) }));
    socket.onmessage = mine((event) => this.#read(event.data));
    socket.onclose = mine((event) => this.#lost(event.code, event.reason));
  }

  #read(data) {
    this.#beat();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.#lost(1006, "unreadable frame");
    }
    // Whatever arrives says that the line is alive; only then the rest.
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "reconnect":
        // Leave at a moment of our own within the time, so that all who were
        // told the same do not return together.
        this.#after("leave", Math.random() * (frame.after_ms || 0), () => this.#lost(4000, frame.reason || "restart"));
        break;
    }
    const waiting = frame.ref && this.#waiting.get(frame.ref);
    // The answer is handled as a frame first: whoever awaits the request finds
    // its effects done.
    this.#passed("in", frame, data.length);
    this.frames.emit(frame);
    if (!waiting || !this.#waiting.delete(frame.ref)) return;
    clearTimeout(waiting.timer);
    if (frame.type === "error") {
      waiting.reject(new Failure(frame.code, frame.message, { field: frame.field, retryAfter: frame.retry_after_ms }));
    } else {
      waiting.resolve(frame);
    }
  }

  #welcome(frame) {
    this.user = frame.user;
    this.limits = frame.limits || {};
    this.#heartbeat = frame.heartbeat_ms || 25_000;
    this.#tokenReason = "connect";
    clearTimeout(this.#timers.welcome);
    if (frame.expires_in_ms) {
      const early = Math.max(frame.expires_in_ms - 60_000, frame.expires_in_ms * 0.8);
      this.#after("renew", Math.min(early, MAX_TIMER), () => this.#renew());
    }
    if (this.online) return; // a renewal
    this.#after("stable", STABLE_MS, () => { this.#attempt = 0; });
    this.#beat();
    this.#set({ name: "online", session: frame.session });
  }

  // renew shows a fresh token on the living connection. If that fails, the
  // server's 4003 says so when the time has come.
  async #renew() {
    const life = this.#life;
    try {
      const token = await this.#getToken("expiring");
      if (life === this.#life && token) this.#write({ type: "auth", token, ref: String(++this.#ref) });
    } catch { /* see above */ }
  }

  // beat: something was heard. After a silence ask, then give up.
  #beat() {
    clearTimeout(this.#timers.pong);
    this.#after("beat", this.#heartbeat, () => this.#probe(PONG_MS));
  }

  #probe(deadline) {
    if (!this.online) return;
    this.#write({ type: "ping", ref: String(++this.#ref) });
    this.#after("pong", deadline, () => this.#lost(1006, "no answer"));
  }

  #lost(code, reason) {
    const refused = code === 4500 && this.#tokenReason === "connect";
    this.blamed = blamesFrame(code); // for who has something on its way, when told of the state
    this.#drop(1000);
    if (!this.#wanted) return;
    if (refused || verdict(code) === "renew") {
      // A token of yesterday, or of a server that has forgotten its secret: it
      // is worth one try with a fresh one.
      this.#tokenReason = refused ? "refused" : "expired";
      return this.#retry(reason);
    }
    if (verdict(code) === "away") return this.#close(code, reason);
    this.#retry(reason);
  }

  #retry(reason, hint = 0) {
    this.#drop(1000);
    const wait = Math.max(hint, delay(this.#attempt++, { hidden: this.#hidden() }));
    this.#set({ name: "offline", retryAt: Date.now() + wait, attempt: this.#attempt, reason });
    this.#after("retry", wait, () => this.#connect());
  }

  #close(code, reason) {
    this.#wanted = false;
    this.#drop(1000);
    this.#set({ name: "closed", code, reason });
  }

  // drop ends the life of the current attempt and everything that waits for it.
  #drop(code) {
    this.#life++;
    for (const name of Object.keys(this.#timers)) clearTimeout(this.#timers[name]);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      try {
        socket.close(code);
      } catch { /* it was not open yet */ }
    }
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const w of waiting) {
      clearTimeout(w.timer);
      w.reject(new Failure("offline", "The connection was lost."));
    }
  }

  #write(frame) {
    const text = JSON.stringify(frame);
    this.#socket?.send(text);
    this.#passed("out", frame, text.length);
  }

  #passed(way, frame, bytes) {
    // A token is nobody's business, not even on the user's own screen.
    const shown = frame.token ? { ...frame, token: "…" } : frame;
    this.wire.emit({ way, at: Date.now(), frame: shown, bytes });
  }

  #after(name, ms, then) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(then, ms);
  }

  #set(state) {
    this.state = state;
    this.states.emit(state);
  }
}
