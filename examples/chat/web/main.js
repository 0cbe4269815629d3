// The page: signs in, connects, and hands what changes to the views.
import { Client } from "./client.js";
import { Connection } from "./connection.js";
import { $, icon } from "./dom.js";
import { Identity, KEY } from "./identity.js";
import { Keep } from "./keep.js";
import { S } from "./strings.js";
import { madeUpName, roomId } from "./text.js";
import { Composer } from "./view-composer.js";
import { askDelete, askRoom, askSignOut } from "./view-dialogs.js";
import { HoodView } from "./view-hood.js";
import { askName } from "./view-login.js";
import { PeopleView } from "./view-people.js";
import { RoomsView, roomAvatar } from "./view-rooms.js";
import { StatusView, toast } from "./view-status.js";
import { TimelineView } from "./view-timeline.js";

const TIP = "gabble.tip";
const HOME = "lobby"; // the room that is always there
const LOOK_AROUND_MS = 5_000; // how soon a direct message of somebody new is noticed
const WIDE = matchMedia("(min-width: 1180px)");
const PHONE = matchMedia("(max-width: 760px)");

const SECOND = "second"; // in the URL: this window is a second person's

const params = new URLSearchParams(location.search);
const identity = new Identity({ second: params.has(SECOND) });
if (params.has(SECOND)) history.replaceState(null, "", location.pathname + location.hash);

// enter finds out who this is: who it was, or a made-up name, or the one that is
// typed.
async function enter() {
  if (identity.current) return;
  const signIn = (name) => identity.signIn(name);
  const named = history.state?.name; // by the page before, which could not keep it
  if (identity.signedOut) {
    location.hash = (await askName(signIn)).room;
    return;
  }
  const name = named || madeUpName();
  try {
    await signIn(name);
  } catch (err) {
    location.hash = (await askName(signIn, { name, problem: err.message })).room;
  }
}

class App {
  #connection;
  #client;
  #current = null;
  #due = false;
  #views;
  #keep;
  #leaving = false;

  constructor() {
    const url = new URL("chat/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    this.#connection = new Connection({ url: url.href, getToken: (reason) => identity.token(reason), hidden: () => document.hidden });
    this.#keep = new Keep(identity.storage.area, identity.current.user.id);
    this.#client = new Client(this.#connection, identity.current.user, { saved: this.#keep.load(), save: (rooms) => { if (!this.#leaving) this.#keep.save(rooms); } });
    this.#views = this.#makeViews();
    this.#connection.wire.subscribe((entry) => this.#views.hood.record(entry));
    this.#connection.states.subscribe((state) => this.#onState(state));
    this.#client.changes.subscribe(() => this.#soon());
    this.#client.arrivals.subscribe((arrival) => this.#onArrival(arrival));
    this.#listen();
  }

  start() {
    $("app").hidden = false;
    this.#views.rooms.me(identity.current.user);
    this.#togglePanel(WIDE.matches ? "people" : null, false);
    const named = location.hash.length > 1;
    this.#openHash();
    if (PHONE.matches && !named) this.#sidebar(true);
    this.#connection.start();
    if (!PHONE.matches) this.#views.composer.focus();
    setInterval(() => { if (!document.hidden && this.#connection.online) this.#lookAround().catch(() => {}); }, LOOK_AROUND_MS);
    setInterval(() => this.#soon(), 60_000); // days change
  }

  #makeViews() {
    const client = this.#client;
    return {
      status: new StatusView({ retryNow: () => this.#connection.retryNow(), connect: () => this.#connection.start() }),
      rooms: new RoomsView({
        open: (room) => this.#show(room),
        join: (id) => this.#show(this.#client.open(id)),
        add: () => this.#addRoom(),
        second: () => window.open(`${location.pathname}?${SECOND}`, "_blank", PHONE.matches ? "noopener" : "noopener,width=480,height=760"),
        signOut: () => this.#signOut(),
      }),
      timeline: new TimelineView({
        older: () => client.loadOlder(this.#current),
        edit: (m) => this.#views.composer.edit(m),
        remove: (m) => this.#remove(m),
        retry: (nonce) => client.retry(this.#current, nonce),
        discard: (nonce) => client.discard(this.#current, nonce),
        bottom: () => this.#seen(),
      }),
      composer: new Composer({
        send: (text) => this.#send(text),
        edit: (m, text) => client.edit(this.#current, m.id, text).then(heldUp, complain),
        typing: (active) => this.#current && client.typing(this.#current, active),
        limits: () => client.limits,
        lastOwn: () => this.#current.log.messages.findLast((m) => m.user?.id === this.#current.me && !m.deleted_at),
      }),
      people: new PeopleView({ direct: (user) => this.#direct(user) }),
      hood: new HoodView(),
    };
  }

  #listen() {
    for (const event of ["online", "pageshow"]) window.addEventListener(event, () => this.#connection.wake());
    window.addEventListener("offline", () => this.#connection.wake());
    window.addEventListener("hashchange", () => this.#openHash());
    window.addEventListener("focus", () => this.#seen());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#connection.wake();
      this.#seen();
    });
    document.addEventListener("keydown", (e) => this.#onKey(e));
    // Signed out in another tab: this one is the same person.
    window.addEventListener("storage", (e) => {
      if (e.storageArea === identity.storage.area && (e.key === KEY || e.key === null) && !identity.current) this.#gone();
    });
    $("to-rooms").append(icon("back"));
    $("to-rooms").addEventListener("click", () => this.#sidebar(true));
    $("leave").addEventListener("click", () => this.#leave());
    $("tip-close").append(icon("close"));
    $("tip-close").addEventListener("click", () => {
      $("tip").hidden = true;
      identity.storage.setItem(TIP, "seen");
    });
    $("tip").hidden = identity.storage.getItem(TIP) === "seen";
    $("show-people").append(icon("people"));
    $("show-hood").append(icon("frames"));
    for (const name of ["people", "hood"]) {
      $(`show-${name}`).addEventListener("click", () => this.#togglePanel($(name).hidden ? name : null));
      const close = document.querySelector(`[data-close=${name}]`);
      close.append(icon("close"));
      close.addEventListener("click", () => this.#togglePanel(null));
    }
    $("veil").addEventListener("click", () => this.#togglePanel(null));
  }

  #onState(state) {
    this.#views.status.draw(state);
    if (state.name === "online") {
      this.#views.rooms.me(this.#connection.user);
      this.#lookAround().catch(() => {});
    }
    if (state.name === "closed" && !identity.current) return this.#gone();
    this.#soon();
  }

  #onArrival({ room, message }) {
    if (room === this.#current && this.#views.timeline.atBottom && this.#looking()) room.seen();
    else room.missed();
    if (room === this.#current && message.type) this.#views.timeline.arrived();
  }

  #looking() {
    return !document.hidden && document.hasFocus() && !(PHONE.matches && document.body.dataset.side === "open");
  }

  // seen: the reader is at the newest message of the room that is shown.
  #seen() {
    if (!this.#current || !this.#looking() || !this.#views.timeline.atBottom) return;
    if (this.#current.unread === 0) return this.#current.seen();
    this.#current.seen();
    this.#soon();
  }

  // soon draws once for everything that happens in one turn, also where nobody
  // looks, for the title.
  #soon() {
    if (this.#due) return;
    this.#due = true;
    const draw = () => {
      if (!this.#due) return;
      this.#due = false;
      this.#draw();
    };
    requestAnimationFrame(draw);
    setTimeout(draw, 250); // a hidden page has no frames
  }

  #draw() {
    const room = this.#current;
    if (!room) return;
    if (!this.#client.rooms.has(room.id)) return this.#show(this.#client.open(HOME));
    const { timeline, rooms, people, composer, hood } = this.#views;
    timeline.draw();
    rooms.draw(this.#client.rooms.values(), room);
    rooms.offer(this.#client.offered);
    people.draw(room);
    composer.online(this.#client.online);
    this.#head(room);
    hood.draw(this.#connection.state, room);
    const unread = [...this.#client.rooms.values()].reduce((n, r) => n + r.unread, 0);
    document.title = `${unread ? `(${unread}) ` : ""}${room.direct ? "" : "#"}${room.title} · Gabble`;
  }

  #head(room) {
    const now = Date.now();
    const typing = this.#views.people.typing(room, now);
    clearTimeout(this.typingEnd);
    if (typing) this.typingEnd = setTimeout(() => this.#soon(), room.typists.nextEnd - now + 10);
    const here = room.people.list.some((u) => u.id !== room.me);
    const usual = !room.joined && !room.people.online ? "" : room.direct ? (here ? "Here now" : "Not here at the moment") : [S.online(room.people.online), room.state?.topic].filter(Boolean).join(" · ");
    const title = room.title;
    if ($("room-title").textContent !== title) $("room-title").textContent = title;
    if ($("room-sub").textContent !== (typing || usual)) $("room-sub").textContent = typing || usual;
    $("room-sub").classList.toggle("typing-now", Boolean(typing));
    const mark = `${room.id} ${title} ${here}`;
    if ($("room-avatar").dataset.mark !== mark) {
      $("room-avatar").dataset.mark = mark;
      $("room-avatar").replaceChildren(roomAvatar(room, here));
      $("leave").hidden = room.id === HOME;
      $("leave").replaceChildren(icon("leave"), S.leave(room.direct ? title : `#${title}`));
    }
  }

  #show(room) {
    this.#sidebar(false);
    if (room === this.#current) return this.#views.composer.focus();
    if (this.#current) this.#current.unreadAfter = -1; // left: the line has done its work
    this.#current = room;
    if (room.unread === 0) room.unreadAfter = -1;
    const hash = `#${room.direct ? `@${encodeURIComponent(room.peer)}` : room.id}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    this.#views.composer.show(room);
    this.#views.timeline.show(room);
    this.#seen();
    this.#draw();
    if (!PHONE.matches) this.#views.composer.focus();
  }

  // openHash opens the room that the address names: #lobby, or #@bob.
  #openHash() {
    let name = "";
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch { /* not ours */ }
    if (name.startsWith("@")) {
      const room = [...this.#client.rooms.values()].find((r) => r.peer === name.slice(1));
      if (room) return this.#show(room);
      name = "";
    }
    if (name || !this.#current) this.#show(this.#client.open(roomId(name) || HOME));
  }

  #send(text) {
    try {
      this.#client.send(this.#current, text);
      return true;
    } catch (err) {
      complain(err);
      return false;
    }
  }

  async #remove(message) {
    const room = this.#current;
    if (!(await askDelete(message))) return;
    this.#client.remove(room, message.id).then(heldUp, complain);
  }

  async #direct(user) {
    if (!WIDE.matches) this.#togglePanel(null);
    try {
      this.#show(await this.#client.openDirect(user.id));
    } catch (err) {
      complain(err);
    }
  }

  async #addRoom() {
    const id = await askRoom(() => this.#lookAround(), this.#client.rooms);
    if (id) this.#show(this.#client.open(id));
  }

  #leave() {
    const room = this.#current;
    if (!WIDE.matches) this.#togglePanel(null);
    this.#show(this.#client.open(HOME));
    this.#client.leave(room);
  }

  #lookAround() {
    return this.#client.lookAround();
  }

  async #signOut() {
    const unsent = Math.max(this.#client.unsent, this.#keep.unsent); // here, or in another tab
    if (unsent && !(await askSignOut(unsent))) return;
    this.#gone(() => {
      this.#keep.clear();
      identity.signOut();
    });
  }

  // gone shows the door. The page is loaded anew only once somebody has come in:
  // before, there may be no server to load it from.
  async #gone(forget = () => {}) {
    if (this.#leaving) return;
    this.#leaving = true;
    forget();
    this.#connection.stop();
    history.replaceState(null, "", location.pathname);
    document.title = "Gabble";
    const { name, room } = await askName((name) => identity.signIn(name));
    location.hash = room;
    if (!identity.kept) history.replaceState({ name }, "");
    location.reload();
  }

  #sidebar(open) {
    document.body.dataset.side = open ? "open" : "";
    $("to-rooms").setAttribute("aria-expanded", String(open));
    this.#seen();
  }

  // togglePanel shows one of the two panels, or none.
  #togglePanel(name, focus = true) {
    for (const panel of ["people", "hood"]) {
      const open = panel === name;
      const had = $(panel).contains(document.activeElement);
      $(panel).hidden = !open;
      $(`show-${panel}`).setAttribute("aria-expanded", String(open));
      if (open && focus) $(panel).querySelector("button").focus();
      if (!open && had && !name) $(`show-${panel}`).focus();
    }
    document.body.dataset.panel = name || "";
    if (this.#current) this.#draw();
  }

  #onKey(e) {
    if (e.key !== "Escape" || e.isComposing || document.querySelector("dialog[open]")) return;
    if (this.#views.composer.cancel()) return;
    if (document.body.dataset.side) this.#sidebar(false);
    else if (document.body.dataset.panel) this.#togglePanel(null);
    else this.#views.composer.focus();
  }
}

function complain(err) {
  toast(err.code === "offline" ? S.needsConnection : err.message);
}

// heldUp says so where a change waits for somebody to approve of it.
function heldUp(answer) {
  if (answer?.held) toast(S.changeHeld);
}

await enter();
new App().start();
