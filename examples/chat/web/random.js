// randomId is 128 random bits as text. crypto.randomUUID is missing on plain http
// beyond localhost, which is where a phone on the same network is.
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
