// When to come back after a connection was lost. Pure: no clock, no sockets.

export const BASE_MS = 250;
export const CAP_MS = 20_000;
export const STABLE_MS = 10_000; // online for so long, and the next loss starts from the base again
const HIDDEN_FLOOR_MS = 5_000; // nobody is looking: no hurry
const HIDDEN_CAP_MS = 60_000;

// delay picks the wait before try number attempt (from 0) with full jitter:
// anything between nothing and the step, so that a thousand pages that lost the
// same server do not come back as one wave.
export function delay(attempt, { random = Math.random, hidden = false } = {}) {
  const cap = hidden ? HIDDEN_CAP_MS : CAP_MS;
  const step = Math.min(cap, BASE_MS * 2 ** Math.min(attempt, 20));
  const wait = Math.round(random() * step);
  return hidden ? Math.max(wait, HIDDEN_FLOOR_MS) : wait;
}

// verdict says what a close code asks of the client.
//   again   come back, with backoff
//   renew   come back with a fresh token
//   away    stay away and tell the user
export function verdict(code) {
  if (code === 4003) return "renew";
  if (code >= 4500 && code <= 4999) return "away";
  return "again";
}

// blamesFrame: the last frame that was sent was bad, sending it again would
// only end the next connection as well.
export function blamesFrame(code) {
  return code === 1002 || code === 1003 || code === 1007 || code === 1009;
}
