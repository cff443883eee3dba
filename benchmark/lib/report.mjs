/** Tables, as Markdown: they read well on a terminal, too. */
import { bestPeer, families, goals, ours } from './compare.mjs'

/** @typedef {import('./play.mjs').Row} Row */
/** @typedef {import('./play.mjs').Result} Result */
/** @typedef {import('./ceiling.mjs').Ceiling} Ceiling */
/** @typedef {import('./footprint.mjs').Occupied} Occupied */
/** @typedef {import('./machine.mjs').Machine} Machine */

const NONE = '-'

/** @param {string[]} head @param {string[][]} rows the first column is text, the others are numbers */
export function table(head, rows) {
  const widths = head.map((title, i) => Math.max(title.length, 3, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

/** @param {number} value */
const digits = (value) =>
  Number.isNaN(value)
    ? NONE
    : value >= 100
      ? value.toFixed(0)
      : value >= 10
        ? value.toFixed(1)
        : value.toFixed(2)
/** @param {number} perSecond */
const thousands = (perSecond) => `${digits(perSecond / 1_000)} k`
/** @param {number} part */
const percent = (part) => `${Math.round(part * 100)} %`
/** @param {Result} result */
const rate = (result) => `${thousands(result.perSecond)} ±${percent(result.spread)}`
/** @param {Result} result */
const microseconds = (result) => `${digits(1e6 / result.perSecond)} ±${percent(result.spread)}`
/** @param {Result | undefined} a @param {Result | undefined} b @param {(r: Result) => string} show */
const both = (a, b, show) => `${a ? show(a) : NONE} / ${b ? show(b) : NONE}`

/** @param {Row} row */
function verdict(row) {
  const own = ours(row)
  if (!own) return NONE
  const words = goals(row).map(
    ({ ratio, peer }) => `${ratio} ${own.perSecond / peer.perSecond >= ratio ? 'met' : 'MISSED'}`,
  )
  return words.join(', ') || NONE
}

/** @param {Result | undefined} own @param {Result | undefined} peer */
const ratio = (own, peer) => (own && peer ? `${digits(own.perSecond / peer.perSecond)} x` : NONE)

/** @param {Row[]} rows */
function memoryTable(rows) {
  const names = [...new Set(rows.flatMap((row) => families(row).map(({ family }) => family)))]
  const peers = (/** @type {Row} */ row) =>
    names.map((name) => families(row).find(({ family }) => family === name))
  return table(
    ['µs per operation', 'flowkeep', ...names, ...names.map((name) => `to ${name.split(', ')[1]}`), 'goal'],
    rows.map((row) => {
      const own = ours(row)
      return [
        row.label,
        own ? microseconds(own) : NONE,
        ...peers(row).map((peer) => (peer ? microseconds(peer) : NONE)),
        ...peers(row).map((peer) => ratio(own, peer)),
        verdict(row),
      ]
    }),
  )
}

/** @param {Row[]} rows */
function redisTable(rows) {
  const names = [...new Set(rows.flatMap((row) => families(row).map(({ family }) => family)))]
  return table(
    ['operations per second', 'in flight', 'flowkeep', ...names, 'best peer', 'ratio', 'goal'],
    rows.map((row) => {
      const own = ours(row)
      const best = bestPeer(row)
      return [
        row.label,
        String(row.inFlight),
        own ? rate(own) : NONE,
        ...names
          .map((name) => families(row).find(({ family }) => family === name))
          .map((peer) => (peer ? rate(peer) : NONE)),
        best?.contender ?? NONE,
        ratio(own, best),
        verdict(row),
      ]
    }),
  )
}

/** @param {Row[]} rows */
const costTable = (rows) =>
  table(
    [
      'flowkeep / best peer',
      'in flight',
      'JS CPU, µs',
      'process CPU, µs',
      'loop busy',
      'loop lag p99, ms',
      'redis-server busy',
    ],
    rows.map((row) => {
      const own = ours(row)
      const best = bestPeer(row)
      return [
        row.label,
        String(row.inFlight),
        both(own, best, ({ jsCpu }) => digits(jsCpu)),
        both(own, best, ({ processCpu }) => digits(processCpu)),
        both(own, best, ({ utilisation }) => percent(utilisation)),
        both(own, best, ({ lagP99 }) => digits(lagP99)),
        both(own, best, ({ serverBusy }) => percent(serverBusy)),
      ]
    }),
  )

/** @param {Ceiling[]} shapes */
const ceilingTable = (shapes) =>
  table(
    ['redis-benchmark', 'GET', 'SET'],
    shapes.map(({ connections, pipeline, get, set }) => [
      `-c ${connections} -P ${pipeline}`,
      thousands(get),
      thousands(set),
    ]),
  )

/** @param {Occupied[]} found */
const footprintTable = (found) =>
  table(
    ['bytes per session', 'sessions', 'redis-server', 'RSS', 'V8 heap', 'full GC, ms'],
    found.map(({ contender, backend, sessions, server, rss, heap, fullGc, failure }) => [
      failure ? `${backend}: ${contender} (did not run)` : `${backend}: ${contender}`,
      String(sessions),
      backend === 'redis' && !failure ? server.toFixed(0) : NONE,
      backend === 'memory' && !failure ? rss.toFixed(0) : NONE,
      failure ? NONE : heap.toFixed(0),
      failure ? NONE : digits(fullGc),
    ]),
  )

/** @param {Machine} at */
function heading({ date, cpu, cores, memoryGiB, system, load, node, redis, peers }) {
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`)
  return [
    `Date ${date}. ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, load ${load} at the start.`,
    `Node ${node}, redis-server ${redis ?? 'not used'}.`,
    `Peers: ${versions.join(', ')}.`,
  ].join('\n')
}

/**
 * @typedef {object} Outcome
 * @property {Machine} machine
 * @property {string} command
 * @property {{ rounds: number, seconds: number }} sampling
 * @property {Row[]} rows
 * @property {Ceiling[]} ceiling
 * @property {Occupied[]} footprint
 */

/** @param {Outcome} outcome @param {boolean} markdown with the heading of a section of RESULTS.md */
export function report({ machine, command, sampling, rows, ceiling, footprint }, markdown) {
  const memory = rows.filter(({ backend }) => backend === 'memory')
  const redis = rows.filter(({ backend }) => backend === 'redis')
  const reasons = [
    ...rows.flatMap((row) => row.failures),
    ...footprint.flatMap(({ failure }) => failure ?? []),
  ]
  const failures = new Set(reasons.map((text) => text.split('\n', 1)[0]))
  return [
    markdown ? `## ${machine.date}: ${machine.cpu}, ${machine.cores} cores` : '',
    `\`${command}\`: medians of ${sampling.rounds} rounds of ${sampling.seconds} s.`,
    heading(machine),
    ...[...failures].map((text) => `Did not take part, or not to the end: ${text}`),
    memory.length > 0 ? memoryTable(memory) : '',
    redis.length > 0 ? redisTable(redis) : '',
    redis.length > 0 ? costTable(redis) : '',
    ceiling.length > 0 ? ceilingTable(ceiling) : '',
    footprint.length > 0 ? footprintTable(footprint) : '',
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}
