// Subscribers of one thing. A subscriber that throws harms nobody else, least
// of all the connection underneath.
export class Emitter {
  #listeners = new Set();

  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event) {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (err) {
        queueMicrotask(() => { throw err; });
      }
    }
  }
}
