// One of several processes that write to, or follow, the same sessions over connections that break. It says that it is
// ready, waits for its task, does it, answers, and ends.
import { createRequire } from 'node:module'

const { RedisAdapter } = createRequire(import.meta.url)('../../dist/index.js')

const tasks = {
  /** Appends numbered events to the sessions in turn until each is acknowledged. Tells which were. */
  async write(storage, { sessionIds, name, count, pauseMs }) {
    const acknowledged = []
    for (let n = 0; n < count; n++) {
      const data = { name, n }
      for (;;) {
        try {
          const event = await storage.appendEvent(sessionIds[n % sessionIds.length], {
            type: 'custom:n',
            data,
          })
          acknowledged.push(event.eventId)
          break
        } catch (error) {
          if (!error.retryable) throw error
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    return acknowledged
  },

  /** Follows each query until it has told the end of every session that it is about. */
  async follow(storage, { queries }) {
    const one = async ({ query, ends }) => {
      const ids = []
      let left = ends
      for await (const item of storage.subscribe(query)) {
        ids.push(item.type === 'gap' ? 'gap' : item.eventId)
        if (item.type === 'custom:end' && --left === 0) break
      }
      return ids
    }
    return await Promise.all(queries.map(one))
  },
}

const [url, prefix] = process.argv.slice(2)
const storage = new RedisAdapter(url, { prefix, feedOfAll: true })
process.on('message', async ({ task, args }) => {
  let answer
  try {
    answer = { value: await tasks[task](storage, args) }
  } catch (error) {
    answer = { error: `${error.name} ${error.code}: ${error.message}` }
  }
  // A long answer takes its time.
  await new Promise((sent) => process.send(answer, sent))
  await storage.close()
  process.disconnect()
})
process.send('ready')
