// Where messages are written: grows with its text, sends with Enter, leaves
// input methods alone, keeps a draft per room.
import { $, icon } from "./dom.js";
import { S } from "./strings.js";
import { visible } from "./text.js";
import { Keystrokes } from "./typing.js";

const MAX_HEIGHT = 180;
const COUNT_FROM = 0.9; // of the limit: from here on say how much is left

export class Composer {
  #text = $("text");
  #button = $("send");
  #drafts = new Map();
  #room = null;
  #editing = null;
  #act;
  #keys = new Keystrokes();
  #soon = 0;

  // act has send(text), edit(message, text), typing(active), limits() and
  // lastOwn().
  constructor(act) {
    this.#act = act;
    this.#button.append(icon("send"));
    this.#text.addEventListener("input", () => this.#onInput());
    this.#text.addEventListener("keydown", (e) => this.#onKey(e));
    this.#text.addEventListener("blur", () => this.#stopTyping());
    $("composer").addEventListener("submit", (e) => {
      e.preventDefault();
      this.#submit();
    });
    $("edit-cancel").addEventListener("click", () => this.cancel());
  }

  show(room) {
    if (this.#room) this.#drafts.set(this.#room.id, this.#editing ? this.#editing.draft : this.#text.value);
    this.#stopTyping();
    this.#room = room;
    this.#endEditing();
    this.#set(this.#drafts.get(room.id) || "");
  }

  online(online) {
    this.#text.placeholder = (online ? S.placeholder : S.offlinePlaceholder)(this.#room.direct ? this.#room.title : `#${this.#room.title}`);
  }

  focus() {
    this.#text.focus({ preventScroll: true });
  }

  edit(message) {
    const draft = this.#editing ? this.#editing.draft : this.#text.value;
    this.#editing = { message, draft };
    $("editing").hidden = false;
    this.#set(message.content || "");
    this.focus();
  }

  // cancel ends editing and says whether there was any.
  cancel() {
    if (!this.#editing) return false;
    const { draft } = this.#editing;
    this.#endEditing();
    this.#set(draft);
    this.focus();
    return true;
  }

  #endEditing() {
    this.#editing = null;
    $("editing").hidden = true;
  }

  #set(value) {
    this.#text.value = value;
    this.#fit();
    this.#check();
  }

  #onInput() {
    this.#fit();
    this.#check();
    if (this.#editing) return;
    if (this.#text.value.trim() === "") this.#stopTyping();
    else this.#startTyping();
  }

  // startTyping says so, or, where that was said a moment ago and taken back,
  // as soon as it may be said again.
  #startTyping() {
    clearTimeout(this.#soon);
    const wait = this.#keys.key(Date.now(), this.#act.limits().typing_ms || 2000);
    if (wait === 0) this.#act.typing(true);
    else if (wait > 0) this.#soon = setTimeout(() => this.#startTyping(), wait);
  }

  #onKey(e) {
    // 229 is what some browsers say while an input method composes.
    if (e.isComposing || e.keyCode === 229) return;
    if (e.key === "Enter" && !e.shiftKey && !e.altKey && !e.ctrlKey && !e.metaKey) {
      e.preventDefault();
      this.#submit();
    } else if (e.key === "ArrowUp" && this.#text.value === "" && !this.#editing) {
      const message = this.#act.lastOwn();
      if (!message) return;
      e.preventDefault();
      this.edit(message);
    }
  }

  #submit() {
    const text = sendable(this.#text.value);
    if (!visible(text) || this.#over(text) > 0) return this.focus();
    const { message, draft } = this.#editing || {};
    if (message) {
      if (text !== message.content) this.#act.edit(message, text);
      this.#endEditing();
      this.#set(draft);
    } else {
      this.#stopTyping();
      if (!this.#act.send(text)) return;
      this.#set("");
    }
    this.focus();
  }

  #stopTyping() {
    clearTimeout(this.#soon);
    if (this.#keys.stop()) this.#act.typing(false);
  }

  #limit() {
    return this.#act.limits().content || 4000;
  }

  #over(text) {
    // The server counts characters, not UTF-16 units.
    return text.length > this.#limit() ? [...text].length - this.#limit() : 0;
  }

  #check() {
    const text = this.#text.value.trim();
    const over = this.#over(text);
    this.#button.disabled = !visible(text) || over > 0;
    this.#text.setAttribute("aria-invalid", over > 0 ? "true" : "false");
    const left = this.#limit() - text.length;
    $("count").textContent = over > 0 ? S.tooLong(over) : left < this.#limit() * (1 - COUNT_FROM) ? String(left) : "";
    $("count").classList.toggle("over", over > 0);
  }

  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, MAX_HEIGHT)}px`;
    this.#text.style.overflowY = this.#text.scrollHeight > MAX_HEIGHT ? "auto" : "hidden";
  }
}

// sendable is what the server takes of what was typed: no white space around
// it, no zero bytes, no halves of characters.
function sendable(text) {
  const trimmed = text.replaceAll("\0", "").trim();
  return trimmed.toWellFormed ? trimmed.toWellFormed() : trimmed;
}
