// The two dialogs. They are native: Escape closes them, focus stays inside and
// returns to where it came from.
import { $, h } from "./dom.js";
import { S } from "./strings.js";
import { roomId } from "./text.js";

// askRoom answers with the id of a room to join, or "".
export function askRoom(lookAround, known) {
  const dialog = $("room-dialog");
  const input = $("room-name");
  input.value = "";
  $("room-error").textContent = "";
  $("open-rooms").replaceChildren(h("li", { class: "soft" }, S.older.replace("older messages", "rooms")));
  return new Promise((resolve) => {
    let answer = "";
    const join = (id) => {
      answer = id;
      dialog.close();
    };
    $("room-form").onsubmit = (e) => {
      e.preventDefault();
      const id = roomId(input.value);
      if (id) join(id);
      else {
        $("room-error").textContent = S.badRoom;
        input.focus();
      }
    };
    $("room-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
    input.focus();
    lookAround().catch(() => []).then((rooms) => {
      const others = rooms.filter((r) => !known.has(r.id));
      $("open-rooms").replaceChildren(...(others.length ? others.map((r) => openRoom(r, join)) : [h("li", { class: "soft" }, S.noOpenRooms)]));
    });
  });
}

function openRoom(room, join) {
  return h("li", {}, h("button", { type: "button", class: "open-room", onclick: () => join(room.id) },
    h("strong", { dir: "auto" }, `#${room.title || room.id}`), h("span", { class: "soft" }, room.online ? S.online(room.online) : room.topic || "")));
}

// askSignOut answers whether to go although messages have not been sent.
export function askSignOut(unsent) {
  const dialog = $("sign-out-dialog");
  $("sign-out-why").textContent = S.unsent(unsent);
  dialog.returnValue = "no";
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
  });
}

// askDelete answers whether the message is to be deleted.
export function askDelete(message) {
  const dialog = $("delete-dialog");
  $("delete-quote").textContent = (message.content || "").slice(0, 200);
  dialog.returnValue = "no";
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
  });
}
