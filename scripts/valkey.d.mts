/** See valkey.mjs. */
import type { startRedis } from './servers.mjs'

export function startValkey(options?: { args?: readonly string[] }): ReturnType<typeof startRedis>
