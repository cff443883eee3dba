// What the caller types: metadata, inputs and results.
import { type IStorage, type MemoryStorage, openStorage } from 'flowkeep'
import { same } from './equal.mjs'

interface Tenancy {
  tenant: string
}

interface Typing {
  session: Tenancy
  chain: { priority: number }
  inputs: { prompt: string }
  result: { text: string; tokens: number }
}

const storage = await openStorage<Typing>()
const session = await storage.createSession('demo', { metadata: { tenant: 'a' } })
const chain = await storage.createChain(session.sessionId, { title: 'b', metadata: { priority: 1 } })
const step = await storage.createStep(chain.chainId, { action: 'c', inputs: { prompt: 'd' } })

same<typeof session.metadata.tenant, string>()
same<typeof chain.metadata.priority, number>()
same<typeof step.inputs.prompt, string>()
same<NonNullable<typeof step.result>, { readonly text: string; readonly tokens: number } | Typing['result']>

await storage.updateStep(step.stepId, { status: 'completed', result: { text: 'e', tokens: 1 } })

// @ts-expect-error
await storage.createSession('demo', { metadata: { tenant: 1 } })
// @ts-expect-error
await storage.createChain(session.sessionId, { title: 'b', metadata: { urgency: 1 } })
// @ts-expect-error
await storage.updateStep(step.stepId, { result: { text: 'e' } })

declare const memory: MemoryStorage<Typing>
export const general: IStorage<Typing> = memory
// @ts-expect-error
export const other: IStorage<{ session: { tenant: number } }> = memory
