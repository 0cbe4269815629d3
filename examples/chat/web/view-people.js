// Who is in the room, and who types.
import { $, avatar, h, put } from "./dom.js";
import * as format from "./format.js";
import { S } from "./strings.js";

export class PeopleView {
  #act;

  // act has direct(user).
  constructor(act) {
    this.#act = act;
  }

  draw(room) {
    const { list, online } = room.people;
    const key = JSON.stringify([room.id, online, list]);
    put($("people-list"), key, () => list.map((user) => this.#row(user, room.me)));
    $("people-title").textContent = `${S.people} · ${online}`;
    const unlisted = online - list.length;
    $("people-more").textContent = unlisted > 0 ? `+ ${S.others(unlisted)}` : "";
  }

  #row(user, me) {
    const name = user.name || user.id;
    if (user.id === me) return h("li", { class: "person" }, dotted(user), h("span", { dir: "auto" }, name), h("span", { class: "soft" }, S.youSuffix));
    return h("li", {}, h("button", { type: "button", class: "person", title: `Write to ${name}`, dataset: { user: user.id }, onclick: () => this.#act.direct(user) }, dotted(user), h("span", { dir: "auto" }, name)));
  }

  // typing draws the line above the composer and answers with what the header
  // says instead of its usual.
  typing(room, now) {
    const users = room.typists.at(now);
    put($("typing"), JSON.stringify(users), () => (users.length
      ? [h("span", { class: "faces" }, ...users.slice(0, 3).map((u) => avatar(u, "tiny"))), h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", { class: "hidden" }, S.typing(format.names(users, S.others), users.length))]
      : []));
    return users.length ? S.typing(format.names(users, S.others), users.length) : "";
  }
}

function dotted(user) {
  return h("span", { class: "with-dot here" }, avatar(user));
}
