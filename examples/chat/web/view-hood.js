// Under the hood: the last frames on the wire, where the cursors are. It is
// also the debugger of whoever builds on this.
import { $, h, put } from "./dom.js";

const KEPT = 200;
const QUIET = new Set(["ping", "pong", "typing", "rooms"]);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

export class HoodView {
  #frames = []; // { n, way, at, frame, bytes }
  #n = 0;
  #drawn = 0;
  #list = $("hood-frames");

  constructor() {
    $("hood-quiet").addEventListener("change", () => this.#redraw());
    $("hood-clear").addEventListener("click", () => {
      this.#frames = [];
      this.#redraw();
    });
  }

  get open() {
    return !$("hood").hidden;
  }

  record(entry) {
    this.#frames.push({ n: ++this.#n, ...entry });
    if (this.#frames.length > KEPT) this.#frames.shift();
  }

  draw(state, room) {
    if (!this.open) return;
    const { log } = room;
    const facts = [
      ["State", state.name], ["Session", state.session || "–"], ["Room", room.id],
      ["Epoch", log.epoch || "–"], ["Cursor (rev)", log.loaded ? log.cursor : "–"], ["Newest seq", log.newestSeq || "–"],
      ["Loaded", `${log.messages.length}${log.more ? " +" : ""}`], ["Waiting to be sent", room.outbox.entries.length],
    ];
    put($("hood-facts"), JSON.stringify(facts), () => facts.flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, String(v))]));
    this.#append();
  }

  #redraw() {
    this.#drawn = 0;
    this.#list.replaceChildren();
    this.#append();
  }

  // append adds the rows of new frames, the newest on top.
  #append() {
    const quiet = $("hood-quiet").checked;
    for (const f of this.#frames) {
      if (f.n <= this.#drawn) continue;
      this.#drawn = f.n;
      if (!quiet || !QUIET.has(f.frame.type)) this.#list.prepend(row(f));
    }
    while (this.#list.children.length > KEPT) this.#list.lastChild.remove();
  }
}

function row({ way, at, frame, bytes }) {
  const detail = h("details", {}, h("summary", {},
    h("span", { class: `way ${way}`, title: way === "in" ? "from the server" : "to the server" }, way === "in" ? "↓" : "↑"),
    h("b", {}, frame.type), h("span", { class: "gist" }, gist(frame)), h("time", {}, clock.format(at))));
  // The JSON is made when somebody looks.
  detail.addEventListener("toggle", () => {
    if (detail.open && !detail.lastChild.matches("pre")) detail.append(h("pre", {}, `${JSON.stringify(frame, null, 2)}\n${bytes} bytes`));
  });
  return h("li", {}, detail);
}

function gist(f) {
  const out = [];
  if (f.ref) out.push(`ref ${f.ref}`);
  if (f.seq) out.push(`seq ${f.seq}`);
  if (f.rev) out.push(`rev ${f.rev}`);
  if (f.after >= 0) out.push(`after ${f.after}`);
  if (f.head >= 0) out.push(`head ${f.head}`);
  if (f.reset) out.push("reset");
  if (f.code) out.push(f.code);
  if (Array.isArray(f.rooms)) out.push(f.rooms.map((r) => `${r.room || r.user || r.id}${r.after >= 0 ? ` after ${r.after}` : ""}`).slice(0, 3).join(", "));
  else if (f.room) out.push(f.room);
  return out.join(" · ");
}
