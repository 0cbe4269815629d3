// A page that survives its node: it comes back through nginx, says how far it
// has got, and sends again what was not acknowledged. With the same nonce that
// is safe however far the first try has come.
const list = document.getElementById("messages");
const text = document.getElementById("text");
const status = document.getElementById("status");

// Not crypto.randomUUID: on plain http that is only there for localhost.
const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// A guest's secret is their identity, on every node: random, this tab's own.
let secret = randomId();
try {
  secret = sessionStorage.secret ??= secret;
} catch { /* storage is blocked or full: for as long as the page is open */ }

const url = new URL("chat/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");

let socket;
let position; // in the room's log: { epoch, after }
let tries = 0;
const waiting = new Map(); // nonce -> frame that is not acknowledged yet

const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));

function show(m) {
  const item = document.createElement("li");
  const author = m.user ? m.user.name || m.user.id : ""; // who hard-deletes takes their name out
  item.textContent = m.deleted_at ? "(deleted)" : [author, m.content || "(no text)"].filter(Boolean).join(": "); // never innerHTML: others wrote this
  list.append(item);
  position.after = Math.max(position.after, m.rev);
}

const take = {
  welcome: () => send({ type: "join", room: "lobby", ...position }),
  joined(frame) {
    if (!position || frame.reset) { // new here, or the log is another
      list.replaceChildren();
      position = { epoch: frame.epoch, after: frame.head };
    }
    (frame.messages || []).forEach(show);
    tries = 0;
    status.textContent = "Connected";
    waiting.forEach(send);
  },
  message: show,
  synced(frame) { position.after = Math.max(position.after, frame.rev); },
  ack: (frame) => waiting.delete(frame.ref),
  error(frame) {
    const again = waiting.get(frame.ref);
    if (again && frame.retry_after_ms) setTimeout(() => send(again), frame.retry_after_ms);
    else waiting.delete(frame.ref);
  },
  reset: (frame) => take.joined({ ...frame, reset: true }),
};

function connect() {
  socket = new WebSocket(url, ["gabble.v1.json"]);
  socket.onopen = () => send({ type: "auth", token: secret });
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    take[frame.type]?.(frame);
  };
  socket.onclose = () => {
    status.textContent = "The node has gone. Coming back …";
    // Full jitter: clients of a node that dies do not all come at once.
    setTimeout(connect, Math.random() * Math.min(10_000, 250 * 2 ** tries++));
  };
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!text.value.trim()) return;
  const nonce = randomId();
  const frame = { type: "message", ref: nonce, room: "lobby", content: text.value.trim(), nonce };
  waiting.set(nonce, frame);
  send(frame);
  text.value = "";
});

connect();
