// What random programs are made of.
import { type IStorage, StorageError } from './flowkeep.js'

/** What a call gave, without what no two backends share: ids, times. */
export type Answer = { value: unknown } | { error: string; paths?: unknown }
type Step = () => Promise<Answer>
export type Program = (storage: IStorage) => Generator<Step>

/** Numbers that follow from a seed (mulberry32). */
export class Chance {
  constructor(private state: number) {}

  below(count: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * count)
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }
}

const STEPS = 14

/** Times vary, and ids are drawn: the n-th id that a program meets is `#n`. */
function plain(value: unknown, ids: Map<string, string>): unknown {
  if (value instanceof Date) return 'a time'
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value instanceof Map) return plain([...value], ids)
  if (typeof value === 'string' && /^(ses|chn|stp|evt|req)_/.test(value)) {
    if (!ids.has(value)) ids.set(value, `#${ids.size}`)
    return ids.get(value)
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, ids))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item, ids)]))
}

/** So many calls of those that `next` draws, one after the other. */
export function program(
  seed: number,
  next: (chance: Chance, storage: IStorage) => () => Promise<unknown>,
): Program {
  return function* (storage) {
    const [chance, ids] = [new Chance(seed), new Map<string, string>()]
    for (let n = 0; n < STEPS; n++) {
      const call = next(chance, storage)
      yield async () => {
        try {
          return { value: plain(await call(), ids) ?? null }
        } catch (error) {
          if (!(error instanceof StorageError)) throw error
          const { issues, current } = error as { issues?: { path: unknown }[]; current?: unknown }
          return { error: error.code, paths: issues?.map(({ path }) => path), current: plain(current, ids) }
        }
      }
    }
  }
}
