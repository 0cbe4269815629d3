// Who this tab is. A tab keeps its own name, in sessionStorage, so that two
// windows of one browser can be two people. This is a demo's idea of identity:
// anybody may say any name. The token is what the chat sees.
import { Failure } from "./connection.js";

const KEY = "gabble.identity";
const EARLY_MS = 30_000;

export class Identity {
  #storage;
  #fetch;
  #flight = null;

  constructor({ storage = sessionStorage, fetch = (...args) => globalThis.fetch(...args) } = {}) {
    this.#storage = storage;
    this.#fetch = fetch;
  }

  get current() {
    try {
      return JSON.parse(this.#storage.getItem(KEY)) || null;
    } catch {
      return null;
    }
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
    return identity;
  }

  signOut() {
    this.#storage.clear();
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
