/** See pack.mjs. */
export function pack(options: {
  into: string
  addons?: string
  profile?: string
  quiet?: boolean
}): Promise<{ main: string; platforms: string[] }>
