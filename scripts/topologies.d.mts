/** A server that may crash, stand still and come back where it stood. */
export interface ServerNode {
  readonly port: number
  crash(): Promise<void>
  freeze(): void
  thaw(): void
  restart(): Promise<void>
}

export interface TlsServer {
  readonly port: number
  readonly url: string
  readonly ca: string
  readonly stranger: string
  readonly cert: string
  readonly key: string
  stop(): Promise<void>
}

export interface Sentinels {
  readonly url: string
  readonly service: string
  readonly nodes: ServerNode[]
  readonly sentinels: ServerNode[]
  master(): Promise<number>
  failover(): Promise<unknown>
  settled(least?: number): Promise<void>
  stop(): Promise<void>
}

export interface ClusterServers {
  readonly url: string
  readonly nodes: ServerNode[]
  readonly ids: readonly string[]
  ask(port: number, ...parts: string[]): Promise<string | number | null>
  masters(seenBy?: number): Promise<number[]>
  settled(): Promise<void>
  stop(): Promise<void>
}

export function startTls(options?: { asksClients?: boolean }): Promise<TlsServer>
export function startSentinel(options?: {
  replicas?: number
  sentinels?: number
  password?: string
  secret?: string
}): Promise<Sentinels>
export function startCluster(options?: {
  masters?: number
  replicas?: number
  password?: string
}): Promise<ClusterServers>
export function eventually(
  what: string,
  probe: () => boolean | Promise<boolean>,
  patienceMs?: number,
): Promise<void>
