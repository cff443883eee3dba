/** What is measured. A scenario is played by every contender of its backend; a variant is a row of the table. */
import { around, input, readData, readVersion, titles } from './fixture.mjs'

/** @typedef {import('../contenders/model.mjs').Store} Store */
/** @typedef {import('../contenders/model.mjs').SessionRecord} SessionRecord */
/** @typedef {{ ids: string[], users: string[] }} Pool what lies in the store before the first sample */
/** @typedef {SessionRecord | { version: number } | SessionRecord[] | null} Answer */
/** @typedef {(i: number) => Promise<Answer>} Operation */

/** @typedef {(count: number, work: (i: number) => Promise<unknown>) => Promise<void>} Many */

/**
 * @typedef {object} Scenario
 * @property {string} name
 * @property {'memory' | 'redis'} backend
 * @property {number} users
 * @property {number} perUser
 * @property {'renew' | 'rewrite'} [before] each sample: an empty store; or every record written by another process
 * @property {('read' | 'unread')[]} data whether the caller reads the data of what it gets
 * @property {(store: Store, pool: Pool, many: Many) => Promise<string[]>} [below] makes what lies below the sessions; its ids
 * @property {(store: Store, pool: Pool) => Operation} operation
 */

/** @type {(store: Store, pool: Pool) => Operation} */
const create =
  (store, { users }) =>
  (i) =>
    store.createSession(around(users, i), input(i))

/** @type {(store: Store, pool: Pool) => Operation} */
const get =
  (store, { ids }) =>
  (i) =>
    store.getSession(around(ids, i))

/** @type {(store: Store, pool: Pool) => Operation} */
const update = (store, { ids }) => {
  const title = titles('the owner')
  return (i) => store.updateSession(around(ids, i), { title: title() })
}

/** @type {(store: Store, pool: Pool) => Operation} */
const list =
  (store, { users }) =>
  (i) =>
    store.listSessions(around(users, i))

/** @type {(store: Store, pool: Pool) => Operation} */
const createChain =
  (store, { ids }) =>
  (i) =>
    store.createChain(around(ids, i), { title: 'Build, test and publish' })

/** @type {(store: Store, pool: Pool) => Operation} */
const createStep =
  (store, { ids }) =>
  (i) =>
    store.createStep(around(ids, i), { action: 'cargo build', inputs: { release: true, jobs: 2 } })

/** A step begins, fails, and is tried again: each move is rolled up into its chain. @type {(store: Store, pool: Pool) => Operation} */
const updateStep = (store, { ids }) => {
  const runs = new Uint8Array(ids.length)
  return (i) => {
    const at = i % ids.length
    runs[at] = runs[at] === 1 ? 0 : 1
    return store.updateStep(
      around(ids, at),
      runs[at] === 1 ? { status: 'in_progress' } : { status: 'failed' },
    )
  }
}

/** A chain for each session. @type {Required<Scenario>['below']} */
const chains = async (store, { ids }, many) => {
  const made = ids.map(() => '')
  await many(ids.length, async (i) => {
    made[i] = (await store.createChain(around(ids, i), { title: 'Build, test and publish' })).chainId
  })
  return made
}

/** Two steps for each session: one that is measured, one that keeps its chain open. @type {Required<Scenario>['below']} */
const steps = async (store, pool, many) => {
  const parents = await chains(store, pool, many)
  const made = parents.map(() => '')
  const data = { action: 'cargo build', inputs: { release: true, jobs: 2 } }
  await many(parents.length, async (i) => {
    made[i] = (await store.createStep(around(parents, i), data)).stepId
    await store.createStep(around(parents, i), data)
  })
  return made
}

/** @type {Scenario['data']} */
const BOTH = ['read', 'unread']
/** @type {Scenario['data']} */
const UNREAD = ['unread']

/**
 * @param {Scenario['backend']} backend
 * @param {Omit<Scenario, 'backend'>[]} scenarios named without it
 * @returns {Scenario[]}
 */
const on = (backend, scenarios) =>
  scenarios.map((scenario) => ({ ...scenario, backend, name: `${backend}.${scenario.name}` }))

export const SCENARIOS = [
  ...on('memory', [
    { name: 'get.hot', users: 1, perUser: 1, data: BOTH, operation: get },
    { name: 'get.spread', users: 1_000, perUser: 10, data: BOTH, operation: get },
    { name: 'create', users: 1_000, perUser: 0, before: 'renew', data: UNREAD, operation: create },
    { name: 'update', users: 1_000, perUser: 1, data: BOTH, operation: update },
    { name: 'list', users: 100, perUser: 20, data: BOTH, operation: list },
  ]),
  ...on('redis', [
    { name: 'get.unchanged', users: 100, perUser: 10, data: BOTH, operation: get },
    { name: 'get.changed', users: 2_000, perUser: 10, before: 'rewrite', data: BOTH, operation: get },
    { name: 'create', users: 1_000, perUser: 0, before: 'renew', data: UNREAD, operation: create },
    { name: 'update.own', users: 200, perUser: 20, data: UNREAD, operation: update },
    { name: 'update.changed', users: 2_000, perUser: 10, before: 'rewrite', data: UNREAD, operation: update },
    { name: 'chain.create', users: 200, perUser: 10, data: UNREAD, operation: createChain },
    { name: 'step.create', users: 200, perUser: 10, below: chains, data: UNREAD, operation: createStep },
    { name: 'step.update', users: 200, perUser: 10, below: steps, data: UNREAD, operation: updateStep },
    { name: 'list.unchanged', users: 50, perUser: 20, data: BOTH, operation: list },
  ]),
]

/** @type {Record<'read' | 'unread', (record: any) => number>} */
const LOOK = { read: readData, unread: readVersion }

/**
 * What the caller does with an answer; the sum keeps the compiler from dropping it.
 * @param {'read' | 'unread'} data
 * @returns {(answer: Answer) => number}
 */
export function consumer(data) {
  const look = LOOK[data]
  return (answer) => {
    if (!Array.isArray(answer)) return look(answer)
    let sum = 0
    for (const session of answer) sum += look(session)
    return sum
  }
}
