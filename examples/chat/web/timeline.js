// What the conversation shows, as a flat list of items. Pure.

const GROUP_MS = 5 * 60_000;

// items puts a room's messages, what waits to be sent, and local notices in
// their order, with day separators, the unread line and grouping by author.
export function items({ log, outbox, notices, unreadAfter }, me) {
  const out = [];
  const left = [...notices];
  let day = "";
  let unread = unreadAfter >= 0;

  const separate = (date) => {
    const key = date.toDateString();
    if (key === day) return;
    day = key;
    out.push({ kind: "day", key: `day ${key}`, date });
  };
  const flush = (seq) => {
    while (left.length && left[0].after < seq) {
      const n = left.shift();
      const last = out[out.length - 1];
      // Several who come, or go, at the same point are one line.
      if (n.user && last?.what === n.kind) last.users.push(n.user);
      else out.push({ ...n, kind: "notice", what: n.kind, users: n.user ? [n.user] : [], key: `notice ${n.id}` });
    }
  };

  for (const m of log.messages) {
    flush(m.seq);
    const at = new Date(m.created_at);
    separate(at);
    const own = m.user?.id === me;
    if (unread && m.seq > unreadAfter && !own) {
      unread = false;
      out.push({ kind: "unread", key: "unread" });
    }
    if (m.kind === "system") {
      out.push({ kind: "notice", key: m.id, text: m.content, at: at.getTime() });
      continue;
    }
    // The key of an own message is its nonce, so that it keeps its place on the
    // screen when the server confirms it.
    out.push({ kind: "message", key: own && m.nonce ? `n ${m.nonce}` : m.id, id: m.id, message: m, user: m.user ?? null, own, at: at.getTime(), state: "sent" });
  }
  flush(Infinity);
  for (const e of outbox.entries) {
    separate(new Date(e.at));
    out.push({ kind: "message", key: `n ${e.nonce}`, id: "", entry: e, user: { id: me }, own: true, at: e.at, state: e.status });
  }
  group(out);
  return out;
}

// group marks the first and the last of neighbours by one author.
function group(list) {
  for (let i = 0; i < list.length; i++) {
    const item = list[i];
    if (item.kind !== "message") continue;
    const before = list[i - 1];
    item.first = !together(before, item);
    item.last = true;
    if (before?.kind === "message") before.last = item.first;
  }
}

function together(a, b) {
  return a?.kind === "message" && a.user && b.user && a.user.id === b.user.id && b.at - a.at < GROUP_MS;
}
