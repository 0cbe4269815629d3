// The least that a page needs to talk. What a real one needs beside it (to come
// back, to resume, to send safely) is in ../chat/web.
const list = document.getElementById("messages");
const text = document.getElementById("text");

// Not crypto.randomUUID: on plain http that is only there for localhost.
const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// A guest's secret is their identity: random, and this tab's own.
let secret = randomId();
try {
  secret = sessionStorage.secret ??= secret;
} catch { /* storage is blocked or full: for as long as the page is open */ }

const url = new URL("chat/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");
const socket = new WebSocket(url, ["gabble.v1.json"]);
const send = (frame) => socket.send(JSON.stringify(frame));

const show = (line) => {
  const item = document.createElement("li");
  item.textContent = line; // never innerHTML: others wrote this
  list.append(item);
};

// Most fields of a message may be missing: a user has a name only where the host gave
// one, a hard-deleted message has no user, a deleted one no content, a picture no text.
const line = (m) => {
  const author = m.user ? m.user.name || m.user.id : "";
  if (m.deleted_at) return "(deleted)";
  return [author, m.content || "(no text)"].filter(Boolean).join(": ");
};

socket.onopen = () => send({ type: "auth", ref: "me", token: secret });

socket.onmessage = (event) => {
  const frame = JSON.parse(event.data);
  switch (frame.type) {
    case "welcome":
      if (frame.ref === "me") send({ type: "join", room: "hello" });
      break;
    case "joined":
    case "reset": // the server's log has been replaced: what was shown is gone
      list.replaceChildren();
      (frame.messages || []).forEach((m) => show(line(m)));
      break;
    case "message":
      show(line(frame));
      break;
    case "ack":
      if (frame.held) show("Your message is waiting for approval.");
      break;
    case "error":
      show(frame.message);
      break;
  }
};

socket.onclose = () => show("The connection has ended. Reload to come back.");

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim()) return;
  send({ type: "message", ref: "m", room: "hello", content: text.value.trim(), nonce: randomId() });
  text.value = "";
});
