import { describe } from 'vitest'
import { archive } from './archive.js'
import { cache } from './cache.js'
import { chains } from './chains.js'
import { collections } from './collections.js'
import { compact } from './compact.js'
import { concurrency } from './concurrency.js'
import { errors } from './errors.js'
import { events } from './events.js'
import { expiry } from './expiry.js'
import { feed } from './feed.js'
import { feedOfAll } from './feed-all.js'
import type { Subject } from './fixture.js'
import { idempotency } from './idempotency.js'
import { json } from './json.js'
import { keyValues } from './kv.js'
import { leases } from './leases.js'
import { life } from './life.js'
import { lists } from './lists.js'
import { options } from './options.js'
import { plainRecords } from './plain-records.js'
import { pruning } from './prune.js'
import { queries } from './queries.js'
import { queue } from './queue.js'
import { records } from './records.js'
import { replay } from './replay.js'
import { requestLog } from './request-log.js'
import { rollup } from './rollup.js'
import { service } from './service.js'
import { sessions } from './sessions.js'
import { steps } from './steps.js'
import { streamsOf } from './streams.js'
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
    feed(subject)
    feedOfAll(subject)
    replay(subject)
    expiry(subject)
    life(subject)
    archive(subject)
    compact(subject)
    leases(subject)
    pruning(subject)
    queries(subject)
    lists(subject)
    options(subject)
    plainRecords(subject)
    json(subject)
    errors(subject)
    concurrency(subject)
    queue(subject)
    cache(subject)
    streamsOf(subject)
    requestLog(subject)
    keyValues(subject)
    service(subject)
    collections(subject)
  })
}
