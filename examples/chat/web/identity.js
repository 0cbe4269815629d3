// Who this is: the browser's own person, kept in localStorage, so that tomorrow
// they are still who they were; or, in a window that was opened for one, a second
// person, kept in that window's sessionStorage. This is a demo's idea of identity:
// anybody may say any name. The token is what the chat sees.
import { Failure } from "./connection.js";
import { Shelf } from "./storage.js";

export const KEY = "gabble.identity";
const SIGNED_OUT = "gabble.signed-out";
const SECOND = "gabble.second";
const EARLY_MS = 30_000;

export class Identity {
  #storage;
  #fetch;
  #flight = null;

  // second makes the window one of a second person.
  constructor({ second = false, tab, browser, fetch = (...args) => globalThis.fetch(...args) } = {}) {
    const own = new Shelf(() => tab ?? sessionStorage);
    if (second) {
      // A window that is opened out of another one begins with a copy of its person.
      own.clear();
      own.setItem(SECOND, "1");
    }
    this.#storage = own.getItem(SECOND) ? own : new Shelf(() => browser ?? localStorage);
    this.#fetch = fetch;
  }

  // storage is where what belongs to this person is kept.
  get storage() {
    return this.#storage;
  }

  // current is null for nobody. Anything may lie in a browser: what is no identity
  // is removed.
  get current() {
    const text = this.#storage.getItem(KEY);
    if (text === null) return null;
    try {
      const kept = JSON.parse(text);
      if (isIdentity(kept)) return kept;
    } catch { /* not even JSON */ }
    this.#storage.removeItem(KEY);
    return null;
  }

  // kept reports whether the next page in this place is still them.
  get kept() {
    return this.#storage.keeps(KEY);
  }

  // signIn says who this is and keeps the answer.
  async signIn(name) {
    let response;
    try {
      response = await this.#fetch("/login", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name }),
        signal: AbortSignal.timeout(8000),
      });
    } catch {
      throw new Failure("offline", "The server cannot be reached.");
    }
    const body = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new Failure(body.code || "internal", body.message || `The server said ${response.status}.`, {
        field: body.field, retryAfter: body.retry_after_ms, fatal: response.status === 400,
      });
    }
    const identity = { name, user: body.user, token: body.token, at: Date.now(), ttl: body.expires_in_ms || 0 };
    this.#storage.setItem(KEY, JSON.stringify(identity));
    this.#storage.removeItem(SIGNED_OUT);
    return identity;
  }

  // signOut forgets who this was, and that the next name is to be asked for.
  signOut() {
    this.#storage.removeItem(KEY);
    this.#storage.setItem(SIGNED_OUT, "1");
  }

  get signedOut() {
    return this.#storage.getItem(SIGNED_OUT) !== null;
  }

  // token is what the connection asks for. Only for a connect will the kept one
  // do; all other reasons say that it is of no use any more. One at a time.
  async token(reason) {
    const kept = this.current;
    if (!kept) return null;
    const old = kept.ttl && Date.now() > kept.at + kept.ttl - EARLY_MS;
    if (reason === "connect" && !old) return kept.token;
    this.#flight ??= this.signIn(kept.name).finally(() => { this.#flight = null; });
    return (await this.#flight).token;
  }
}

function isIdentity(kept) {
  const texts = [kept?.name, kept?.token, kept?.user?.id];
  return texts.every((t) => typeof t === "string" && t !== "");
}
