import { createRequire } from 'node:module'

/** @typedef {import('./model.mjs').Store} Store */

/** The built package of this checkout, through its public face. */
const load = () => createRequire(import.meta.url)('../../dist/index.js')

/** @returns {Store} */
export const openMemory = () => new (load().MemoryStorage)()

/**
 * @param {string} url
 * @param {string} prefix
 * @returns {Store}
 */
export const openRedis = (url, prefix) => new (load().RedisAdapter)(url, { prefix })
