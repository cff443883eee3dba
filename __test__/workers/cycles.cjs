// Creates and terminates workers that use the addon: node cycles.cjs <cycles> <idle | pending> [redis url]
// Prints the number of cycles done. A crash of the addon ends this process with a signal.
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads')

async function work({ manner, url }) {
  const { MemoryStorage, RedisAdapter } = require('../../dist/index.js')
  const storage = url ? new RedisAdapter(url, { prefix: 'workers:' }) : new MemoryStorage()
  const session = await storage.createSession('worker', { title: 'a' })
  if (manner === 'idle') {
    await storage.deleteSession(session.sessionId)
    parentPort.postMessage('now')
    // Stays alive without doing anything, until it is terminated.
    setInterval(() => {}, 2 ** 30)
    return
  }
  // Never without calls under way: the end comes into the middle of them.
  const endless = async () => {
    for (;;) {
      await storage.updateSession(session.sessionId, { title: `${Math.random()}` })
      // Memory answers at once: without a breath nothing else of this thread would run.
      await new Promise(setImmediate)
    }
  }
  for (let i = 0; i < 16; i++) endless().catch(() => {})
  setTimeout(() => parentPort.postMessage('now'), 5)
}

async function cycles(count, manner, url) {
  for (let done = 0; done < count; done++) {
    const worker = new Worker(__filename, { workerData: { manner, url } })
    await new Promise((resolve, reject) => {
      worker.once('message', resolve).once('error', reject)
      worker.once('exit', (code) => reject(new Error(`the worker ended by itself (exit ${code})`)))
    })
    worker.removeAllListeners('exit')
    await worker.terminate()
  }
  console.log(count)
}

if (isMainThread) cycles(Number(process.argv[2]), process.argv[3], process.argv[4])
else work(workerData)
