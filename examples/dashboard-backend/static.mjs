// The page: a handful of files from public/, and headers that forbid everything else.
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'

const PUBLIC = new URL('./public/', import.meta.url)
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/** The names are listed once at start, so no request can name another file. */
export function page(/** @type {import('fastify').FastifyInstance} */ app) {
  for (const name of readdirSync(PUBLIC)) {
    const type = TYPES[/** @type {keyof typeof TYPES} */ (extname(name))]
    if (type === undefined) continue
    app.get(name === 'index.html' ? '/' : `/${name}`, async (_request, reply) =>
      reply
        .headers(HEADERS)
        .type(type)
        .send(await readFile(new URL(name, PUBLIC))),
    )
  }
}
