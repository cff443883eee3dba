/** One contender in a process of its own. Arguments: kind, name, URL. Told how much to do, it says how long it took. */
import { performance } from 'node:perf_hooks'
import { KINDS } from './contenders.mjs'

const [kind = '', name = '', url = ''] = process.argv.slice(2)
const open = KINDS[kind]?.[name]
if (!open) throw new Error(`no such contender: ${kind}, ${name}`)
const work = await open(url)

/** So many lanes, each with one call outstanding. @param {(n: number) => Promise<unknown>} call @param {number} count @param {number} inFlight */
async function lanes(call, count, inFlight) {
  let next = 0
  const lane = async () => {
    while (next < count) await call(next++)
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

process.on('message', async (/** @type {{ count: number, inFlight: number } | 'end'} */ told) => {
  if (told === 'end') {
    await work.close()
    process.disconnect()
    return
  }
  const { count, inFlight } = told
  globalThis.gc?.()
  const began = performance.now()
  await lanes(work.put, count, inFlight)
  const put = performance.now()
  if (work.drain) await work.drain(count, inFlight)
  else await lanes(work.take, count, inFlight)
  const taken = performance.now()
  process.send?.({ put: put - began, take: taken - put })
})
process.send?.('ready')
