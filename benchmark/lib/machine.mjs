import { readFileSync } from 'node:fs'
import os from 'node:os'

/** @typedef {{ date: string, cpu: string, cores: number, memoryGiB: number, system: string, load: number, node: string, redis: string | null, peers: Record<string, string> }} Machine */

const root = new URL('../', import.meta.url)

/** @param {string} path @returns {{ version: string, dependencies?: Record<string, string> }} */
const manifest = (path) => JSON.parse(readFileSync(new URL(path, root), 'utf8'))

/** @param {string | null} redis its version @returns {Machine} */
export function machine(redis) {
  const names = Object.keys(manifest('package.json').dependencies ?? {})
  const processors = os.cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    load: Math.round((os.loadavg()[0] ?? 0) * 10) / 10,
    node: process.version,
    redis,
    peers: Object.fromEntries(
      names.map((name) => [name, manifest(`node_modules/${name}/package.json`).version]),
    ),
  }
}
