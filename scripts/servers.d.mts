export function startRedis(options?: { args?: readonly string[] }): Promise<{
  readonly url: string
  readonly port: number
  readonly version: string
  readonly pid: number
  readonly folder: string
  stop(): Promise<void>
}>
