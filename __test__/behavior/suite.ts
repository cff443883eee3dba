import { describe } from 'vitest'
import { chains } from './chains.js'
import { concurrency } from './concurrency.js'
import { errors } from './errors.js'
import { events } from './events.js'
import { expiry } from './expiry.js'
import type { Subject } from './fixture.js'
import { idempotency } from './idempotency.js'
import { json } from './json.js'
import { lists } from './lists.js'
import { options } from './options.js'
import { plainRecords } from './plain-records.js'
import { records } from './records.js'
import { rollup } from './rollup.js'
import { sessions } from './sessions.js'
import { steps } from './steps.js'
import { transitions } from './transitions.js'
import { versions } from './versions.js'

/** The contract of a storage. Every backend keeps all of it. */
export function testStorage(subject: Subject): void {
  describe(subject.name, () => {
    records(subject)
    sessions(subject)
    chains(subject)
    steps(subject)
    transitions(subject)
    rollup(subject)
    versions(subject)
    idempotency(subject)
    events(subject)
    expiry(subject)
    lists(subject)
    options(subject)
    plainRecords(subject)
    json(subject)
    errors(subject)
    concurrency(subject)
  })
}
