// What a caller in a CommonJS module writes, with `verbatimModuleSyntax`.
import flowkeep = require('flowkeep')

async function main(): Promise<flowkeep.SessionId> {
  const storage = new flowkeep.MemoryStorage({ prefix: 'app:' })
  const session: flowkeep.Session = await storage.createSession('demo', {})
  await storage.close()
  return session.sessionId
}

main().catch((error: unknown) => {
  if (error instanceof flowkeep.ConflictError) console.log(error.from, error.to, error.current)
  if (error instanceof flowkeep.CapacityError) console.log(error.limit)
  if (error instanceof flowkeep.UnavailableError) console.log(error.retryAfterMs)
})
