/** Plays one scenario: every variant of it, all contenders in turn, round by round. */
import { CONTENDERS } from '../contenders/index.mjs'
import { Member } from './crew.mjs'
import { median, spread } from './stats.mjs'

/** @typedef {import('./scenarios.mjs').Scenario} Scenario */
/** @typedef {import('./meter.mjs').Sample} Sample */
/** @typedef {import('./options.mjs').Options} Options */
/** @typedef {import('./server.mjs').Server} Server */
/** @typedef {Sample & { serverBusy: number }} Round serverBusy: part of the time that redis-server worked */
/** @typedef {{ inFlight: number, data: 'read' | 'unread' }} Variant */

/**
 * @typedef {object} Result the medians of a contender's rounds
 * @property {string} contender
 * @property {string} family
 * @property {number} perSecond operations
 * @property {number} spread
 * @property {number} jsCpu
 * @property {number} processCpu
 * @property {number} utilisation
 * @property {number} lagP99
 * @property {number} serverBusy
 * @property {number[]} rounds operations per second, as they came
 */

/** @typedef {{ scenario: string, label: string, backend: 'memory' | 'redis', failures: string[], results: Result[] } & Variant} Row */

/** One contender at its place: the process that is measured and, if records must change, the one that changes them. */
class Player {
  first = 0
  count = 0
  /** @type {Round[]} */
  rounds = []

  /** @param {Scenario} scenario @param {Member} member @param {Member | null} neighbour @param {Server | null} server */
  constructor(scenario, member, neighbour, server) {
    this.scenario = scenario
    this.member = member
    this.neighbour = neighbour
    this.server = server
  }

  /** @param {Variant} variant @param {Options} options */
  async calibrate(variant, { seconds }) {
    await this.#prepare(0)
    const { users, perUser, before } = this.scenario
    // Every record may be met only once between two rewritings.
    const limit = before === 'rewrite' ? users * perUser : Number.MAX_SAFE_INTEGER
    const range = await this.member.call('calibrate', { ...variant, first: this.first, seconds, limit })
    this.first = range.first
    this.count = range.count
  }

  /** @param {Variant} variant */
  async round(variant) {
    await this.#prepare(this.count)
    const before = (await this.server?.cpu()) ?? 0
    const sample = await this.member.call('measure', { ...variant, first: this.first, count: this.count })
    const busy = ((await this.server?.cpu()) ?? 0) - before
    this.first += this.count
    this.rounds.push({ ...sample, serverBusy: busy / 1e6 / sample.seconds })
  }

  async seed() {
    const pool = await (this.neighbour ?? this.member).call('seed')
    await this.member.call('adopt', pool)
  }

  async end() {
    await this.member.end()
    await this.neighbour?.end()
  }

  /** @param {number} count */
  async #prepare(count) {
    if (this.scenario.before === 'renew') {
      await this.server?.empty()
      await this.member.call('renew')
    }
    await this.neighbour?.call('rewrite', { first: this.first, count })
  }

  /** @returns {Result} */
  result() {
    const perSecond = this.rounds.map(({ operations, seconds }) => operations / seconds)
    const middle = (/** @type {keyof Round} */ key) => median(this.rounds.map((round) => round[key]))
    return {
      contender: this.member.contender.name,
      family: this.member.contender.family,
      perSecond: median(perSecond),
      spread: spread(perSecond),
      jsCpu: middle('jsCpu'),
      processCpu: middle('processCpu'),
      utilisation: middle('utilisation'),
      lagP99: middle('lagP99'),
      serverBusy: middle('serverBusy'),
      rounds: perSecond,
    }
  }
}

/** Those who play a scenario. Who fails leaves, with the reason on record; the others go on. */
class Company {
  /** @type {Player[]} */
  players = []
  /** @type {string[]} */
  failures = []

  /** @param {Scenario} scenario @param {Server | null} server @param {Options} options */
  async assemble(scenario, server, options) {
    const wanted = CONTENDERS.filter(
      ({ backend, name, scenarios = /./ }) =>
        backend === scenario.backend && options.only.test(name) && scenarios.test(scenario.name),
    )
    for (const [number, contender] of wanted.entries()) {
      const place = { url: server?.url ?? '', prefix: `bench${number}:` }
      /** @param {string[]} nodeArguments */
      const start = (nodeArguments) => Member.start(contender, scenario.name, place, nodeArguments)
      try {
        const member = await start(options.nodeArguments)
        const neighbour = scenario.before === 'rewrite' ? await start([]) : null
        this.players.push(new Player(scenario, member, neighbour, server))
      } catch (error) {
        this.#note(error)
      }
    }
    await this.each((player) => player.seed())
  }

  /** @param {(player: Player) => Promise<void>} action @param {number} [from] who begins */
  async each(action, from = 0) {
    const turns = this.players.map((_, n) => this.players[(n + from) % this.players.length])
    for (const player of turns) {
      if (player) await action(player).catch((error) => this.#dismiss(player, error))
    }
  }

  /** @param {Player} player @param {unknown} error */
  async #dismiss(player, error) {
    this.#note(error)
    this.players = this.players.filter((other) => other !== player)
    await player.end()
  }

  /** @param {unknown} error */
  #note(error) {
    this.failures.push(error instanceof Error ? error.message : String(error))
  }
}

/**
 * The first round of every variant warms up and does not count. Who begins moves on from round to round, so that
 * nobody always follows the same neighbour.
 * @param {Company} company
 * @param {Variant} variant
 * @param {Options} options
 */
async function interleave(company, variant, options) {
  await company.each((player) => player.calibrate(variant, options))
  for (let round = 0; round <= options.rounds; round++) {
    await company.each((player) => player.round(variant), round)
    if (round === 0) for (const player of company.players) player.rounds = []
  }
}

/**
 * @param {Scenario} scenario
 * @param {Server | null} server
 * @param {Options} options
 * @param {(row: Row) => void} report
 */
export async function play(scenario, server, options, report) {
  await server?.empty()
  const company = new Company()
  await company.assemble(scenario, server, options)
  try {
    for (const inFlight of scenario.backend === 'redis' ? options.inFlight : [1]) {
      for (const data of scenario.data) {
        await interleave(company, { inFlight, data }, options)
        const results = company.players.map((player) => player.result())
        const { name, backend } = scenario
        const label = scenario.data.length > 1 ? `${name}, ${data}` : name
        report({ scenario: name, label, backend, inFlight, data, failures: [...company.failures], results })
      }
    }
  } finally {
    for (const player of company.players) await player.end()
  }
}
