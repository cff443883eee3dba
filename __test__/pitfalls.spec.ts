// What has gone wrong in systems like this one, each named and shown not to go wrong here. A case stands in this file, or
// the table says which tests show it, and then it is looked up that they are there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

type Shown = readonly (readonly [file: string, title: string])[]
const behavior = (file: string, title: string) => [`__test__/behavior/${file}.ts`, title] as const
const front = (file: string, title: string) => [`__test__/${file}.spec.ts`, title] as const
const core = (file: string, title: string) => [`core/${file}.rs`, `fn ${title}()`] as const
const here = (file: string, title: string) => front(`pitfalls-${file}`, title)

const systems: Record<string, Shown> = {
  'an I/O error that reads as "not found"': [
    front('redis-trouble', 'is away when nobody listens'),
    core('tests/away/main', 'what_was_seen_is_answered_as_stale_and_what_was_not_is_an_error'),
  ],
  'an invalid write that returns normally': [
    front('bad-input', 'is tried in more than 600 cases'),
    behavior('errors', 'of validation name every fault at once, and store nothing'),
  ],
  'production stores fewer fields than development': [
    here('systems', 'one record has the same fields everywhere'),
  ],
  'a write that undoes a TTL extension': [
    front('redis-layout', 'is never shortened by a storage with a shorter TTL'),
    behavior('collections', 'a write does not undo the time that a record has'),
  ],
  'children that keep the old TTL': [
    front('redis-layout', 'is the same for the whole tree after a write to its last leaf'),
    behavior('expiry', 'is drawn out by writes to its leaves'),
  ],
  'orphan keys after delete': [
    front('redis-layout', 'is over when the session is deleted'),
    behavior('concurrency', 'leaves no orphan when a session is deleted under the hands of its writers'),
  ],
  'a queue that is read and then deleted loses what arrives between': [
    here('systems', 'what arrives while a queue is emptied stays'),
  ],
  'KEYS in lists': [
    front('redis-layout', 'never walk over the keyspace'),
    core('tests/tidy/main', 'nobody_sends_the_command_keys'),
  ],
  'a list that returns every user’s sessions': [
    behavior('lists', 'holds the children of its own parent alone'),
  ],
  'one bad record fails a whole list': [
    front('redis-corrupt', 'with %s is left out where the storage is told to'),
    front('queue-processes', 'one bad item fails one call, not the queue'),
    front('collections-damage', 'one that can not be read is told, fails alone, and keeps its keys'),
  ],
  'an outage answered from an empty memory store': [
    here('systems', 'what was never seen is not answered while the server is away'),
    front('faults/faults', 'reads are never falsely empty'),
  ],
  'Redis down at start silently becomes memory for good': [
    here('systems', 'a storage that was opened without its server finds it later'),
  ],
  'an unlock without the owner’s token': [
    behavior('queue', 'the lease is worth nothing then'),
    here('systems', 'a lock is not taken from its next owner'),
    here('systems', 'who computes too long takes no lock away, and its value is not kept'),
  ],
  'history ids that restart': [behavior('service', 'history ids never restart')],
  'a table named like a reserved space': [here('systems', 'a table may be named like anything')],
  'a + b:c equal to a:b + c': [
    behavior('collections', 'a + b:c is not equal to a:b + c'),
    core('src/stores/tables', 'a_million_adversarial_pairs_share_no_stored_key'),
  ],
  'a rolling window over lifetime totals': [
    core('src/breaker/model/tests', 'random_histories_agree_with_the_naive_model'),
  ],
  'unlimited half-open probes': [
    front('breakers-shared', 'lets at most as many probes start in a generation as it should, whoever asks'),
    core('src/breaker/tests', 'probes_are_few_and_each_has_a_lease'),
  ],
  'lost counts through read-modify-write': [
    behavior('kv', 'lost counts through read-modify-write'),
    behavior('collections', 'lost counts through read-modify-write'),
    front('processes', 'add up to one counter'),
  ],
  'a timeout measured from the last failure': [
    core('src/breaker/tests', 'open_lasts_from_its_opening_and_grows'),
  ],
  'types guessed back from strings': [behavior('kv', 'types are not guessed back from strings')],
  'a limit applied before filters': [
    behavior('events', 'are filtered by type before they are limited'),
    behavior('queries', 'is walked in pages of %i'),
  ],
  'a pop timeout of 0 or 0.5 that blocks for ever': [
    behavior('queue', 'a pop with a timeout of 0 does not wait, and one of half a second ends'),
  ],
  'a pop that loses the item when the consumer dies': [
    front('queue-processes', 'lose nothing when half of them are killed again and again'),
    behavior('queue', '100 aborted pops racing with pushes lose nothing'),
  ],
}

const clients: Record<string, Shown> = {
  'a blocking pop longer than the response timeout': [
    here('redis', 'a pop that waits longer than a call may take'),
  ],
  'a blocking command blocks everything on its connection': [here('redis', 'who waits stops nobody')],
  'a connection that is dead without a word': [
    front('connections', 'that is dead without a word is found and dialled again within 2 s'),
    core('src/redis/mux/heartbeat', 'a_server_that_says_nothing_is_dead_within_two_seconds'),
  ],
  'a stopped server still accepts connections': [
    front('redis-trouble', 'that stands still makes timeouts, with an outcome that is unknown for a write'),
    front('faults/faults', 'freeze: a stopped server holds no promise longer than its deadline'),
  ],
  'writes sent again after a dropped connection': [
    here('redis', 'a count, a list and a set hold what was acknowledged, and nothing twice'),
    front('faults/faults', 'lost answers: every effect is there exactly once'),
  ],
  'reconnecting gives up': [here('systems', 'a storage that was opened without its server finds it later')],
  'a failover that is not followed': [front('failover', 'a failover %s is followed')],
  'a failed write is no failed read: OOM, MISCONF, NOREPLICAS': [
    front('connections', 'what fails writes alone'),
  ],
  'errors of a busy, loading or changing server': [
    front('connections', 'a server that is busy, or has forgotten the script'),
    front('connections', 'a replica that becomes a master'),
  ],
  'a wrong password tried in a loop': [
    front('connections', 'is told at once, and tried at most once a second'),
  ],
  'a command that does not fit its key': [
    behavior('kv', 'a command that does not fit is a conflict and changes nothing'),
  ],
  'a timeout or an abort is an unknown outcome': [
    front('redis-trouble', 'that stands still makes timeouts, with an outcome that is unknown for a write'),
  ],
}

const servers: Record<string, Shown> = {
  'a script that fails half-way keeps its first writes': [
    here('redis', 'a write that is refused leaves every byte'),
  ],
  'SET drops the TTL, KEEPTTL on an expired key keeps for ever': [
    here('redis', 'an update of what is over brings nothing back'),
    behavior('kv', 'a write that builds on what is there leaves the time that the key has'),
  ],
  'a full server still reads and deletes': [
    front('redis-trouble', 'that is full refuses writes and serves reads'),
    here('redis', 'on a full server deleting makes room'),
  ],
  'NOGROUP after a restart without data': [
    front('streams-loss', 'loses nothing when the group is destroyed'),
    front('streams-loss', 'stands at its floor when it is made anew'),
  ],
  'a consumer that is removed with what is pending for it': [
    behavior('streams', 'a consumer is forgotten only when nothing is pending for it'),
  ],
  'NOSCRIPT after a restart or a flush': [
    front('redis-layout', 'survive the loss of the scripts in the server'),
  ],
  'MOVED, ASK and their like never reach the caller': [
    front('failover', 'slots move under load, and nobody notices'),
    core('src/redis/cluster/tests', 'redirections'),
  ],
  'acknowledged writes lost at a crash': [
    front(
      'faults/faults',
      'crash: killed and restarted under writes, nothing is lost and nothing is there twice',
    ),
  ],
  'patterns with the text of users': [
    behavior('kv', 'keys are found by pattern, page by page, and text of users matches only itself'),
  ],
}

const node: Record<string, Shown> = {
  'a panic aborts the process': [front('lifecycle', '%s is an error, and process and storage live on')],
  'something keeps the process alive': [
    front('lifecycle', 'without close(), when nothing is pending'),
    front('lifecycle', 'after close()'),
  ],
  'a worker that ends while its addon runs': [front('workers', 'in the middle of Redis calls')],
  'references leaked by calls, also by those that fail': [
    here('node', 'memory stays where it is, whether calls succeed or fail'),
  ],
  'a signal whose handler is overwritten': [behavior('options', 'keeps the handler that its owner gave it')],
  'JSON deeper than the limit': [
    behavior('json', 'is refused when it is more than 64 %s deep'),
    core('tests/schema', 'depth_and_length_cost_no_stack'),
  ],
  'half of a character, silently changed': [behavior('json', 'is refused with the path of %s')],
  'values that are no JSON': [
    front('schema', 'the hostile that zod itself does not survive'),
    behavior('json', 'comes back exactly: %s'),
    front('bad-input', 'leaves no rejection unhandled, and the storages work'),
  ],
  'two copies of the binary in one process': [here('node', 'two copies of the package share nothing')],
  'tests that share a process': [here('node', 'test files have processes of their own')],
}

const meaning: Record<string, Shown> = {
  'a lost cache invalidation stays wrong': [
    here('systems', 'a value deleted while the server is away stays deleted'),
  ],
  'permits that leak through ignored, hung or cancelled calls': [
    core('src/breaker/tests', 'probes_are_few_and_each_has_a_lease'),
    behavior('breakers', 'ends an aborted call with the reason, and counts nothing'),
  ],
  'opening twice leaves it open for ever': [core('src/breaker/tests', 'every_command_in_every_mode')],
  'late results decide the state': [
    behavior('breakers', 'does not count calls that began before it was reset'),
  ],
  'getting a breaker resets it': [behavior('breakers', 'gives the same breaker for the same name, as it is')],
  'a store’s error replaces the call’s result': [
    front(
      'breakers-shared',
      'goes on while its server is away, and tells the others what it learnt when it is back',
    ),
  ],
  'parts of a record that outlive each other': [behavior('expiry', 'ends for the whole tree at once')],
  'subscribers that go deaf, or see events twice': [
    front('feed-cuts', '4 writers and 8 followers in processes of their own agree with the log'),
  ],
  'an unbounded queue of calls while the server is away': [
    core('tests/away/main', 'a_full_journal_says_so_and_keeps_what_it_has'),
    here('redis', 'calls that wait are bounded by their deadlines'),
  ],
  'calls that never settle': [
    front('redis-trouble', 'settles every call that was on its way, and loses nothing that was answered'),
    front('faults/faults', 'close: with the server down and a hundred calls under way it takes no second'),
  ],
}

const texts = new Map<string, string>()

function text(file: string): string {
  let known = texts.get(file)
  if (known === undefined) {
    known = readFileSync(join(__dirname, '..', file), 'utf8')
    texts.set(file, known)
  }
  return known
}

describe.each(Object.entries({ systems, clients, servers, node, meaning }))('shown: %s', (_, table) => {
  it.each(Object.entries(table))('%s', (_, shown) => {
    expect(shown.length).toBeGreaterThan(0)
    for (const [file, title] of shown) expect(text(file), `${file} has "${title}"`).toContain(title)
  })
})

it('a title that is nowhere is missed', () => {
  expect(text('__test__/behavior/queue.ts')).not.toContain('a title that nobody wrote')
})
