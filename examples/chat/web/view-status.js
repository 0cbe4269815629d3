// The bar that says how the connection is, and short notes at the bottom.
import { $, h, put } from "./dom.js";
import { S } from "./strings.js";

const PATIENCE_MS = 600; // a connect that is quicker than this needs no word
const BACK_MS = 1_800;
const TOAST_MS = 5_000;

export class StatusView {
  #bar = $("status");
  #act;
  #wasOffline = false;
  #timer = 0;

  // act has retryNow and connect.
  constructor(act) {
    this.#act = act;
  }

  draw(state) {
    clearTimeout(this.#timer);
    document.body.dataset.connection = state.name;
    switch (state.name) {
      case "online":
        if (!this.#wasOffline) return this.#show("", "", () => []);
        this.#wasOffline = false;
        this.#show("good", "back", () => [h("strong", {}, S.back)]);
        this.#timer = setTimeout(() => this.#show("", "", () => []), BACK_MS);
        return;
      case "connecting":
        // Between two tries the bar stays as it is for a moment.
        this.#timer = setTimeout(() => this.#show("warn", "connecting", () => [h("strong", {}, S.connecting), h("span", {}, S.writeOn)]), PATIENCE_MS);
        return;
      case "offline":
        this.#wasOffline = true;
        this.#countdown(state);
        return;
      case "closed":
        this.#wasOffline = true;
        this.#show("bad", `closed ${state.code}`, () => [
          h("strong", {}, (S.closed[state.code] || (() => S.closedElse(state.code)))(state.reason)),
          h("button", { type: "button", class: "link", onclick: this.#act.connect }, S.connectAgain),
        ]);
        return;
    }
    this.#show("", "", () => []);
  }

  #countdown(state) {
    const left = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    // The seconds are not announced, only that it is offline.
    this.#show("warn", "offline", () => [
      h("strong", {}, h("span", { id: "countdown", "aria-live": "off" })), h("span", {}, S.writeOn),
      h("button", { type: "button", class: "link", id: "retry-now", onclick: this.#act.retryNow }, S.retryNow),
    ]);
    $("countdown").textContent = S.offline(left);
    if (left > 0) this.#timer = setTimeout(() => this.#countdown(state), (state.retryAt - Date.now()) % 1000 || 1000);
  }

  #show(tone, key, make) {
    this.#bar.className = `status ${tone}`.trim();
    put(this.#bar, key, make);
  }
}

// toast says something once.
export function toast(text) {
  const el = h("p", { class: "toast" }, text);
  $("toasts").append(el);
  setTimeout(() => el.remove(), TOAST_MS);
}
