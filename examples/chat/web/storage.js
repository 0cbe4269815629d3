// The browser's storage, which may be blocked, so that to name it is an error
// already, or full. What it does not take is kept in this page, and gone with it.
export class Shelf {
  #area = null;
  #here = new Map(); // what the area has refused, null of what is removed

  // open answers with a localStorage or a sessionStorage, or throws.
  constructor(open) {
    try {
      this.#area = open();
    } catch { /* blocked */ }
  }

  // area is what other pages share, or this where there is none.
  get area() {
    return this.#area ?? this;
  }

  // keeps reports whether the value of a key outlives the page.
  keeps(key) {
    return this.#area !== null && !this.#here.has(key);
  }

  getItem(key) {
    if (this.#here.has(key)) return this.#here.get(key);
    try {
      return this.#area?.getItem(key) ?? null;
    } catch {
      return null;
    }
  }

  setItem(key, value) {
    this.#put(key, String(value), () => this.#area.setItem(key, value));
  }

  removeItem(key) {
    this.#put(key, null, () => this.#area.removeItem(key));
  }

  clear() {
    this.#here.clear();
    try {
      this.#area?.clear();
    } catch { /* there is nothing to be read, either */ }
  }

  #put(key, value, there) {
    this.#here.set(key, value);
    if (!this.#area) return;
    try {
      there();
      this.#here.delete(key);
    } catch { /* then here */ }
  }
}
