export interface Place {
  port: number
  folder: string
}

export interface SqlServer extends Place {
  url: string
  version: string
  log(): string
  stop(): Promise<void>
  /** Ends it at once; its folder stays. */
  crash(): Promise<void>
}

export function startPostgres(options?: { place?: Place }): Promise<SqlServer>
export function startMariadb(options?: { place?: Place }): Promise<SqlServer>
