/** The session that is used everywhere: 8 metadata fields, nested, 254 bytes of JSON; a title and 2 tags. */

/** @typedef {import('../contenders/model.mjs').SessionRecord} SessionRecord */

/** Distinct inputs, built once, so that building them costs no sample anything. */
const VARIETY = 1_024
const FIRST_BUILD = 100_000

/** @param {number} n below 900,000, so that every input has the same size */
function metadata(n) {
  return {
    project: 'atlas-dashboard',
    branch: 'release/2026-11',
    build: { number: FIRST_BUILD + n, commit: '9f2c41d07ab3', clean: true },
    owner: { name: 'Ada Byron', team: 'platform' },
    labels: ['nightly', 'linux'],
    retries: 2,
    progress: 0.375,
    note: 'waits for its review',
  }
}

const inputs = Array.from({ length: VARIETY }, (_, n) => ({
  title: 'Nightly build of the atlas dashboard',
  tags: ['nightly', 'atlas'],
  metadata: metadata(n),
}))

export const METADATA_BYTES = JSON.stringify(metadata(0)).length

/**
 * The i-th of a list that starts again at its end.
 * @template T
 * @param {T[]} list not empty
 * @param {number} i
 */
export const around = (list, i) => /** @type {T} */ (list[i % list.length])

/** @param {number} n */
export const input = (n) => around(inputs, n)

/**
 * Titles that differ from one call to the next, by the same record too: an update that changes nothing is no update.
 * @param {string} author
 */
export function titles(author) {
  const texts = Array.from(
    { length: VARIETY - 1 },
    (_, n) => `Nightly build, as ${author} saw it ${n + VARIETY}`,
  )
  let next = 0
  return () => around(texts, next++)
}

/**
 * The caller reads a nested field of the data.
 * @param {SessionRecord | null} session
 */
export function readData(session) {
  const build = /** @type {{ number: number }} */ (session?.metadata.build)
  return build.number
}

/**
 * The caller looks at the record, not at its data.
 * @param {SessionRecord | null} session
 */
export const readVersion = (session) => /** @type {SessionRecord} */ (session).version
