// The least that a page needs to talk. What a real one needs beside it (to come
// back, to resume, to send safely) is in ../chat/web.
const list = document.getElementById("messages");
const text = document.getElementById("text");

// A guest's secret is their identity: random, and this tab's own.
const secret = sessionStorage.secret ??= crypto.randomUUID();

const url = new URL("chat/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");
const socket = new WebSocket(url, ["gabble.v1.json"]);
const send = (frame) => socket.send(JSON.stringify(frame));

const show = (line) => {
  const item = document.createElement("li");
  item.textContent = line; // never innerHTML: others wrote this
  list.append(item);
};

socket.onopen = () => send({ type: "auth", ref: "me", token: secret });

socket.onmessage = (event) => {
  const frame = JSON.parse(event.data);
  switch (frame.type) {
    case "welcome":
      if (frame.ref === "me") send({ type: "join", room: "hello" });
      break;
    case "joined":
      frame.messages.forEach((m) => show(`${m.user.name}: ${m.content}`));
      break;
    case "message":
      show(`${frame.user.name}: ${frame.content}`);
      break;
  }
};

socket.onclose = () => show("The connection has ended. Reload to come back.");

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim()) return;
  send({ type: "message", room: "hello", content: text.value.trim(), nonce: crypto.randomUUID() });
  text.value = "";
});
