/** Hears of one kind of event. */
export type Listener<E> = (event: E) => void

/** Those who hear. What one of them throws is nobody else's: it becomes an uncaught exception of its own. */
export class Listeners<Events extends object> {
  readonly #heard = new Map<keyof Events, Set<Listener<never>>>()

  /** Adds a listener; the function that comes back takes it away. */
  on<K extends keyof Events>(type: K, listener: Listener<Events[K]>): () => void {
    const set = this.#heard.get(type) ?? new Set()
    this.#heard.set(type, set)
    set.add(listener)
    return () => set.delete(listener)
  }

  /** Whether anybody listens. */
  has(type: keyof Events): boolean {
    return (this.#heard.get(type)?.size ?? 0) > 0
  }

  tell<K extends keyof Events>(type: K, event: Events[K]): void {
    for (const listener of this.#heard.get(type) ?? []) {
      try {
        ;(listener as Listener<Events[K]>)(event)
      } catch (error) {
        process.nextTick(() => {
          throw error
        })
      }
    }
  }
}
