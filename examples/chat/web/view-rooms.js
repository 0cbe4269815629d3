// The list of rooms with the last message, its time and what is unread, and who
// the reader is.
import { $, avatar, h, icon } from "./dom.js";
import * as format from "./format.js";
import { S } from "./strings.js";

const OFFERED = 20;

export class RoomsView {
  #rows = new Map(); // room id -> { el, mark }
  #act;

  // act has open, join, add, second and signOut.
  constructor(act) {
    this.#act = act;
    $("add-room").append(icon("plus"));
    $("add-room").addEventListener("click", act.add);
    $("second").prepend(icon("second"));
    $("second").addEventListener("click", act.second);
    $("sign-out").append(icon("leave"));
    $("sign-out").addEventListener("click", act.signOut);
  }

  me(user) {
    $("me").replaceChildren(avatar(user), h("span", { class: "me-name", dir: "auto" }, user.name || user.id));
  }

  // offer lists public rooms that are not joined, at most as many as one looks through.
  offer(rooms) {
    const list = $("offered");
    const some = rooms.slice(0, OFFERED);
    $("offered-title").hidden = some.length === 0;
    const mark = JSON.stringify(some.map((r) => [r.id, r.title, r.online]));
    if (list.dataset.mark === mark) return;
    list.dataset.mark = mark;
    list.replaceChildren(...some.map((r) => h("li", {},
      h("button", { type: "button", class: "room-row offered", dataset: { offered: r.id }, onclick: () => this.#act.join(r.id) },
        h("span", { class: "avatar hash", "aria-hidden": "true" }, "#"),
        h("span", { class: "room-text" },
          h("span", { class: "room-line" }, h("strong", { dir: "auto" }, r.title || r.id)),
          h("span", { class: "room-line" }, h("span", { class: "preview" }, S.join)))))));
  }

  draw(rooms, current) {
    const list = $("rooms");
    const order = [...rooms].sort((a, b) => (b.last?.at ?? 0) - (a.last?.at ?? 0));
    const ids = new Set(order.map((r) => r.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.el.remove();
      this.#rows.delete(id);
    }
    order.forEach((room, i) => {
      const mark = this.#mark(room, current);
      let row = this.#rows.get(room.id);
      if (!row || row.mark !== mark) {
        const el = this.#row(room, room === current);
        if (row) {
          const focused = row.el.contains(document.activeElement);
          row.el.replaceWith(el);
          if (focused) el.firstChild.focus();
        }
        row = { el, mark };
        this.#rows.set(room.id, row);
      }
      if (list.children[i] !== row.el) list.insertBefore(row.el, list.children[i] ?? null);
    });
  }

  #mark(room, current) {
    const last = room.last;
    return JSON.stringify([room.title, room === current, room.unread, room.joined, last?.at, last?.content, last?.user?.name,
      room.direct && room.people.online, new Date().toDateString()]);
  }

  #row(room, current) {
    const last = room.last;
    const here = room.direct && room.people.list.some((u) => u.id !== room.me);
    const author = last?.own ? S.you : room.direct ? "" : last?.user?.name || last?.user?.id || "";
    const preview = last ? [author, last.content].filter(Boolean).join(": ") : S.noMessages;
    const badge = room.unread > 0
      ? h("span", { class: "badge" }, h("span", { "aria-hidden": "true" }, room.unread > 99 ? "99+" : String(room.unread)), h("span", { class: "hidden" }, S.unread(room.unread)))
      : null;
    return h("li", {},
      h("button", { type: "button", class: current ? "room-row current" : "room-row", "aria-current": current ? "true" : undefined, dataset: { room: room.id }, onclick: () => this.#act.open(room) },
        roomAvatar(room, here),
        h("span", { class: "room-text" },
          h("span", { class: "room-line" }, h("strong", { dir: "auto" }, room.title), last ? h("time", {}, format.stamp(new Date(last.at))) : null),
          h("span", { class: "room-line" }, h("span", { class: "preview", dir: "auto" }, preview.slice(0, 120)), badge))));
  }
}

// roomAvatar is the peer of a direct room, with a dot while they are there, or
// the sign of a room.
export function roomAvatar(room, here) {
  if (!room.direct) {
    const el = h("span", { class: "avatar hash", "aria-hidden": "true" }, "#");
    return el;
  }
  const peer = room.state?.peers?.find((p) => p.id !== room.me) ?? { id: room.peer || room.me, name: room.title };
  return h("span", { class: here ? "with-dot here" : "with-dot" }, avatar(peer));
}
