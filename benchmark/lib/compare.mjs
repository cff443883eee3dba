/** From a row's results to what the reader wants to know: who is the best peer, and by how much. */
import { OURS } from '../contenders/index.mjs'

/** @typedef {import('./play.mjs').Row} Row */
/** @typedef {import('./play.mjs').Result} Result */

/**
 * The fastest member of every family, ours aside.
 * @param {Row} row
 * @returns {Result[]}
 */
export function families({ results }) {
  /** @type {Map<string, Result>} */
  const best = new Map()
  for (const result of results) {
    if (result.family === OURS) continue
    const held = best.get(result.family)
    if (!held || held.perSecond < result.perSecond) best.set(result.family, result)
  }
  return [...best.values()]
}

/** @param {Row} row */
export const ours = ({ results }) => results.find(({ family }) => family === OURS)

/** @param {Row} row */
export const bestPeer = (row) => families(row).toSorted((a, b) => b.perSecond - a.perSecond)[0]

/**
 * The goal of a row, as a ratio to a peer; null where none is set.
 * @param {Row} row
 * @returns {{ ratio: number, peer: Result } | null}
 */
export function goal(row) {
  const { scenario, inFlight } = row
  if (/^memory\.(get\.|create)/.test(scenario)) {
    const peer = families(row).find(({ family }) => family === 'Map + zod, cloned')
    return peer ? { ratio: 1, peer } : null
  }
  const peer = bestPeer(row)
  if (peer && /^redis\.(chain|step)\./.test(scenario)) return { ratio: 1.5, peer }
  if (!/^redis\.(get\.|create)/.test(scenario)) return null
  return peer ? { ratio: inFlight >= 16 ? 1.3 : 1, peer } : null
}
