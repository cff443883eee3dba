/** Calls side by side. */

/**
 * So many calls, each lane with one outstanding.
 * @param {number} count
 * @param {(i: number) => Promise<unknown>} work
 * @param {number} lanes
 */
export async function many(count, work, lanes) {
  let next = 0
  const lane = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}
