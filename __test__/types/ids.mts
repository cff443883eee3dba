// Ids are branded: one kind never passes for another, while plain strings (from a URL, say) are taken.
import type { ChainId, EventId, IStorage, SessionId, StepId, UserId } from 'flowkeep'

declare const storage: IStorage
declare const sessionId: SessionId
declare const chainId: ChainId
declare const stepId: StepId
declare const eventId: EventId
declare const userId: UserId
declare const text: string

storage.getSession(sessionId)
storage.getSession(text)
storage.getChain(chainId)
storage.getChain('from a URL')
storage.listSessions(userId)
storage.listSessions(text)
storage.events({ sessionId, after: eventId })

// @ts-expect-error
storage.getChain(sessionId)
// @ts-expect-error
storage.getSession(chainId)
// @ts-expect-error
storage.getStep(chainId)
// @ts-expect-error
storage.updateStep(sessionId, { status: 'completed' })
// @ts-expect-error
storage.deleteChain(stepId)
// @ts-expect-error
storage.listSteps(sessionId)
// @ts-expect-error
storage.listSessions(sessionId)
// @ts-expect-error
storage.createChain(userId, { title: 'a' })
// @ts-expect-error
export const kept: SessionId = text
// An id is a string to everybody else.
export const shown: string = sessionId
