// The generated zod module infers the same shapes as the root's types.
import type { ChainData, SessionData, StepData } from 'flowkeep'
import { ChainDataSchema, SessionDataSchema, SessionSchema, StepDataSchema } from 'flowkeep/zod'
import type { z } from 'zod'

export const session: SessionData = SessionDataSchema.parse({ title: 'a' })
export const chain: ChainData = ChainDataSchema.parse({ title: 'a' })
export const step: StepData = StepDataSchema.parse({ action: 'a' })
export const state: 'active' | 'paused' | 'completed' = SessionSchema.parse({}).state
export type Inferred = z.infer<typeof SessionSchema>
