// The conversation: draws the items of timeline.js, keeps the reader's place.
import { $, avatar, h, icon, iconButton } from "./dom.js";
import * as format from "./format.js";
import { S } from "./strings.js";
import { long, onlyEmoji, parts } from "./text.js";
import { items } from "./timeline.js";

const NEAR_BOTTOM = 60; // px that still count as being at the newest message
const NEAR_TOP = 240; // px from the top at which the older page is fetched
const LOADED_MAX = 600; // messages kept while the reader is at the newest
const LOADED_KEEP = 400;

export class TimelineView {
  #list = $("timeline");
  #scroller = $("scroller");
  #older = $("older");
  #pill = $("pill");
  #rows = new Map(); // key -> { el, mark }
  #unfolded = new Set(); // keys of long messages that the reader wants to see whole
  #room = null;
  #act;
  #atBottom = true;
  #below = 0; // messages that came while the reader was further up

  // act has older, edit, remove, retry, discard and bottom.
  constructor(act) {
    this.#act = act;
    this.#pill.append(icon("down"), h("span"));
    this.#pill.addEventListener("click", () => this.toBottom(true));
    this.#scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.#scroller.addEventListener("keydown", (e) => this.#onKey(e));
    this.#list.addEventListener("click", (e) => this.#onTap(e));
    new ResizeObserver(() => { if (this.#atBottom) this.#jump(); }).observe(this.#scroller);
  }

  get atBottom() {
    return this.#atBottom;
  }

  show(room) {
    this.#room = room;
    this.#rows.clear();
    this.#unfolded.clear();
    this.#scroller.setAttribute("aria-busy", "true"); // a room's page is not news
    this.#list.replaceChildren();
    this.#below = 0;
    this.#atBottom = true;
    this.draw();
  }

  // arrived counts what came in below the edge.
  arrived() {
    if (!this.#atBottom) this.#below++;
  }

  draw() {
    const room = this.#room;
    if (this.#atBottom && room.log.messages.length > LOADED_MAX && room.unread === 0) room.log.trim(LOADED_KEEP);
    const me = room.me;
    const list = items(room, me);
    if (!room.log.more && list.length && room.log.loaded) list.unshift({ kind: "notice", key: "beginning", text: S.beginning(room.direct ? room.title : `#${room.title}`) });
    const sentNow = list.some((i) => i.state === "pending" && !this.#rows.has(i.key));
    const anchor = this.#atBottom || sentNow ? null : this.#anchor();
    this.#patch(list);
    this.#older.hidden = !room.log.more;
    this.#older.textContent = room.loadingOlder ? S.older : "";
    this.#empty(room, list);
    const place = anchor && this.#rows.get(anchor.key);
    if (place) this.#scroller.scrollTop += place.el.getBoundingClientRect().top - anchor.top;
    else if (!anchor) this.#jump();
    this.#showPill();
    if (room.log.loaded && !room.loadingOlder) requestAnimationFrame(() => this.#scroller.removeAttribute("aria-busy"));
    if (this.#scroller.scrollTop < NEAR_TOP) this.#act.older();
  }

  toBottom(smooth = false) {
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: smooth && !quiet ? "smooth" : "instant" });
    if (!smooth) this.#onScroll();
  }

  #jump() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atBottom = true;
    this.#below = 0;
  }

  // anchor is the first row that the reader sees whole, and where: after the
  // change it is put back there. By its key, for the change may replace it.
  #anchor() {
    const view = this.#scroller.getBoundingClientRect();
    let cut = null; // taller than the view: better than nothing
    for (const el of this.#list.children) {
      const { top, bottom } = el.getBoundingClientRect();
      if (!el.dataset.key || bottom <= view.top) continue;
      if (top >= view.bottom) break;
      if (top >= view.top) return { key: el.dataset.key, top };
      cut ??= { key: el.dataset.key, top };
    }
    return cut;
  }

  // patch brings the rows to the list: rows that stay are not touched.
  #patch(list) {
    const keys = new Set(list.map((i) => i.key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.el.remove();
      this.#rows.delete(key);
    }
    let before = this.#list.firstChild;
    for (const item of list) {
      const mark = signature(item);
      let row = this.#rows.get(item.key);
      if (!row) {
        row = { el: this.#row(item), mark };
        this.#rows.set(item.key, row);
        this.#list.insertBefore(row.el, before);
      } else {
        if (row.mark !== mark) {
          const el = this.#row(item);
          const focused = row.el.contains(document.activeElement);
          if (before === row.el) before = el;
          row.el.replaceWith(el);
          row.el = el;
          row.mark = mark;
          el.classList.add("settled"); // it was there: it does not come in again
          if (focused) el.focus();
        }
        if (row.el === before) before = before.nextSibling;
        else this.#list.insertBefore(row.el, before);
        continue;
      }
      before = row.el.nextSibling;
    }
  }

  #row(item) {
    switch (item.kind) {
      case "day":
        return h("li", { class: "day" }, h("span", {}, format.day(item.date)));
      case "unread":
        return h("li", { class: "unread-line" }, h("span", {}, S.unreadLine));
      case "notice":
        return h("li", { class: `notice ${item.what || ""}`.trim() }, h("span", { dir: "auto" }, noticeText(item)));
    }
    return this.#message(item);
  }

  #message(item) {
    const { message: m, entry, own, user } = item;
    const deleted = Boolean(m?.deleted_at);
    const text = m ? m.content || "" : entry.content;
    const name = user?.name || user?.id || "";
    const bubble = deleted
      ? h("div", { class: "bubble gone" }, S.deleted)
      : h("div", { class: onlyEmoji(text) ? "bubble emoji" : "bubble", dir: "auto" }, ...linked(text));
    const el = h("li", {
      class: ["message", own ? "own" : "other", item.first && "first", item.last && "last", item.state].filter(Boolean).join(" "),
      tabindex: "-1",
      dataset: { key: item.key, id: item.id, seq: m?.seq ?? "", nonce: (m ?? entry).nonce || "", state: item.state },
    });
    if (!own) el.append(item.last ? avatar(user) : h("span", { class: "avatar-space" }));
    const body = h("div", { class: "body" });
    if (item.first) body.append(h("p", { class: own ? "name hidden" : "name", dir: "auto" }, own ? S.you : name));
    body.append(h("div", { class: "bubble-row" }, bubble, own && m && !deleted ? this.#tools(m) : null));
    if (!deleted && long(text)) body.append(this.#fold(item.key, bubble));
    body.append(this.#foot(item, m, deleted));
    el.append(body);
    return el;
  }

  // fold keeps a long message from pushing all others off the screen.
  #fold(key, bubble) {
    const button = h("button", { type: "button", class: "link more" });
    const draw = () => {
      const open = this.#unfolded.has(key);
      bubble.classList.toggle("folded", !open);
      button.textContent = open ? S.less : S.more;
      button.setAttribute("aria-expanded", String(open));
    };
    button.addEventListener("click", () => {
      if (!this.#unfolded.delete(key)) this.#unfolded.add(key);
      this.#atBottom = false; // the reader is at this message
      draw();
    });
    draw();
    return button;
  }

  #tools(m) {
    return h("span", { class: "tools" },
      iconButton("edit", S.edit, () => this.#act.edit(m), { tabindex: "-1" }),
      iconButton("trash", S.remove, () => this.#act.remove(m), { tabindex: "-1" }));
  }

  #foot(item, m, deleted) {
    const foot = h("p", { class: "foot" });
    if (Number.isFinite(item.at)) foot.append(h("time", { datetime: new Date(item.at).toISOString(), title: format.moment(item.at) }, format.time(item.at)));
    if (m?.edited_at && !deleted) foot.append(h("span", {}, S.edited));
    if (!item.own || deleted) return foot;
    const [name, label] = { sent: ["check", S.sent], pending: ["clock", S.pending], held: ["clock", S.held], failed: ["alert", S.failed(item.entry?.error || "")] }[item.state];
    const tick = icon(name, `tick ${item.state}`);
    foot.append(h("span", { class: "tick-box", role: "img", "aria-label": label, title: label }, tick));
    if (item.state === "held") {
      foot.append(h("span", {}, S.held), h("button", { type: "button", class: "link discard", onclick: () => this.#act.discard(item.entry.nonce) }, S.discard));
    }
    if (item.state === "failed") {
      foot.append(h("span", { class: "why" }, S.failed(item.entry.error)),
        h("button", { type: "button", class: "link retry", onclick: () => this.#act.retry(item.entry.nonce) }, S.retry),
        h("button", { type: "button", class: "link discard", onclick: () => this.#act.discard(item.entry.nonce) }, S.discard));
    }
    return foot;
  }

  #empty(room, list) {
    const blank = room.log.loaded && list.every((i) => i.kind !== "message");
    let el = this.#scroller.querySelector(".empty");
    if (!blank) return el?.remove();
    if (el) return;
    el = h("div", { class: "empty" }, h("span", { class: "mark big", "aria-hidden": "true" }), h("strong", {}, S.empty), h("span", {}, S.emptyHint));
    this.#scroller.append(el);
  }

  #showPill() {
    this.#pill.hidden = this.#atBottom;
    if (this.#atBottom) this.#below = 0;
    this.#pill.lastChild.textContent = this.#below ? S.newMessages(this.#below) : S.toNewest;
    this.#pill.classList.toggle("news", this.#below > 0);
  }

  #onScroll() {
    const s = this.#scroller;
    const was = this.#atBottom;
    this.#atBottom = s.scrollHeight - s.scrollTop - s.clientHeight < NEAR_BOTTOM;
    this.#showPill();
    if (this.#atBottom && !was) this.#act.bottom();
    if (s.scrollTop < NEAR_TOP) this.#act.older();
  }

  // onKey moves a single focus through the messages; the tools of the one that
  // has it can be tabbed to.
  #onKey(e) {
    const step = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[e.key];
    if (!step || e.altKey || e.ctrlKey || e.metaKey) return;
    const rows = [...this.#list.querySelectorAll(".message")];
    const at = rows.indexOf(document.activeElement.closest(".message"));
    const to = at < 0 ? rows.length - 1 : Math.min(rows.length - 1, Math.max(0, at + step));
    if (!rows[to]) return;
    e.preventDefault();
    this.#focus(rows[to]);
  }

  #focus(row) {
    for (const el of this.#list.querySelectorAll(".message[tabindex='0']")) {
      el.tabIndex = -1;
      for (const b of el.querySelectorAll(".tools button")) b.tabIndex = -1;
    }
    row.tabIndex = 0;
    for (const b of row.querySelectorAll(".tools button")) b.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  // onTap shows the tools where there is nothing to hover with.
  #onTap(e) {
    const row = e.target.closest(".message.own");
    for (const el of this.#list.querySelectorAll(".message.open")) if (el !== row) el.classList.remove("open");
    if (row && !e.target.closest("button, a")) row.classList.toggle("open");
  }
}

function linked(text) {
  return parts(text).map((p) => (p.href
    ? h("a", { href: p.href, target: "_blank", rel: "noopener nofollow ugc noreferrer" }, p.text)
    : p.text));
}

function noticeText(item) {
  const name = item.users?.length ? format.names(item.users, S.others) : "";
  switch (item.what) {
    case "came": return S.came(name);
    case "went": return S.went(name);
    case "reset": return item.text === "replaced" ? S.replaced : S.skipped;
    case "left": return S.left(item.text);
  }
  return item.text;
}

// signature is what a row looks like: if it is the same, the row is.
function signature(item) {
  if (item.kind !== "message") return `${item.text || ""}${item.users?.length || ""}`;
  const m = item.message;
  return [item.state, item.first, item.last, m ? `${m.rev} ${m.user?.name || ""}` : item.entry.error].join("|");
}
