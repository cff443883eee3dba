/** See nodes.mjs. */
export const otherNodes: string[]
export function ensureNode(version: string): Promise<string>
