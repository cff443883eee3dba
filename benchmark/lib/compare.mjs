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
 * What is aimed at, as ratios to the best peer by calls in flight; in memory to the map that clones and to the one that gives out its
 * own objects. Where a peer differs in what it does, `benchmark/RESULTS.md` says so.
 * @type {[RegExp, Record<number, number> | { cloned: number, own: number }][]}
 */
const GOALS = [
  [/^memory\.get\.hot/, { cloned: 25, own: 1 }],
  [/^memory\.create/, { cloned: 3, own: 1.3 }],
  [/^memory\.update/, { cloned: 4.5, own: 1.2 }],
  [/^memory\.list/, { cloned: 60, own: 1.7 }],
  [/^redis\.get\.unchanged/, { 1: 1.5, 16: 2.4, 100: 5, 1000: 12 }],
  [/^redis\.get\.changed/, { 1: 1.2, 16: 1.7, 100: 2.2, 1000: 3 }],
  [/^redis\.create/, { 1: 1.5, 16: 1.9, 100: 2.7, 1000: 3.5 }],
  [/^redis\.update\.own/, { 1: 1.3, 16: 1.7, 100: 2.5, 1000: 3 }],
  [/^redis\.(chain|step)\./, { 1: 1.5, 16: 1.5, 100: 1.5, 1000: 1.5 }],
]

/**
 * The goals of a row, each a ratio to a peer; none where none is set.
 * @param {Row} row
 * @returns {{ ratio: number, peer: Result }[]}
 */
export function goals(row) {
  const wanted = GOALS.find(([scenario]) => scenario.test(row.scenario))?.[1]
  if (!wanted) return []
  const to = (/** @type {Result | undefined} */ peer, /** @type {number | undefined} */ ratio) =>
    peer && ratio ? [{ ratio, peer }] : []
  if (!('cloned' in wanted)) return to(bestPeer(row), wanted[row.inFlight])
  const map = (/** @type {string} */ kind) => families(row).find(({ family }) => family.endsWith(kind))
  return [...to(map('own object'), wanted.own), ...to(map('cloned'), wanted.cloned)]
}
