import type { NativeStorage } from '../native.js'
import type { BreakerLink } from './breakers.js'
import { type Calls, numberOf } from './calls.js'
import type { Json } from './generated/records.js'

const asItIs = (value: Json): unknown => value

/** Breakers on a storage. */
export function breakerLink(native: NativeStorage, calls: Calls): BreakerLink {
  return {
    shared: native.sharesBreakers,
    breaker: (config, tagged) => native.breaker(config, tagged),
    told: () => native.told(),
    changes: {
      keep: (limit) => native.keepChanges(limit),
      read: () => native.changes(),
      done: (last) => native.changesDone(last),
    },
    ask: (name, id, options, data) =>
      calls.byId(numberOf(name), id, data, options, asItIs, data !== undefined) as Promise<Json>,
  }
}
