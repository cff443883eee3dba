// A reverse proxy's registry: everything that such a proxy keeps, on one storage.
import { Certificates } from './certificates.mjs'
import { OAuth } from './oauth.mjs'
import { Ports } from './ports.mjs'
import { Proxies } from './proxies.mjs'
import { Requests } from './requests.mjs'
import { Routes } from './routes.mjs'
import { Services } from './services.mjs'
import { Tokens } from './tokens.mjs'
import { Workflow } from './workflow.mjs'

/** @param {import('flowkeep').IStorage} storage */
export function openRegistry(storage) {
  return {
    services: new Services(storage),
    certificates: new Certificates(storage),
    proxies: new Proxies(storage),
    routes: new Routes(storage),
    ports: new Ports(storage),
    oauth: new OAuth(storage),
    tokens: new Tokens(storage),
    workflow: new Workflow(storage),
    requests: new Requests(storage),
    /** Protected resources, by their URI. @type {import('flowkeep').Collection<Resource>} */
    resources: storage.collection('resources', { id: 'uri', sets: ['scopes'] }),
  }
}

/**
 * @typedef {object} Resource
 * @property {string} uri
 * @property {string} proxy the host that serves it
 * @property {string[]} scopes what a token needs one of
 * @property {object} [metadata]
 */
