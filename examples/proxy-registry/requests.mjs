// What was asked of the proxy: found by who asked, for what, and how it went; counted by the hour; told as it happens.

/** @typedef {import('flowkeep').LoggedRequest} LoggedRequest */
/** @typedef {{ limit?: number, cursor?: string }} Paging */

/** The name of an hour in UTC, `YYYYMMDD:HH`. @param {Date} at */
export function hourName(at) {
  const text = at.toISOString()
  return `${text.slice(0, 10).replaceAll('-', '')}:${text.slice(11, 13)}`
}

export class Requests {
  #log

  /** @param {import('flowkeep').IStorage} storage */
  constructor(storage) {
    this.#log = storage.requestLog
  }

  /** Notes a request, with everything that it is found by and counted in, as one step. @param {import('flowkeep').RequestLogEntry} request */
  note(request) {
    return this.#log.record(request)
  }

  /** @param {string} ip @param {Paging} [paging] */
  ofClient(ip, paging) {
    return this.#log.search({ ip, ...paging })
  }

  /** @param {string} host @param {Paging} [paging] */
  ofHost(host, paging) {
    return this.#log.search({ host, ...paging })
  }

  /** @param {string} user @param {Paging} [paging] */
  ofUser(user, paging) {
    return this.#log.search({ user, ...paging })
  }

  /** @param {number} status @param {Paging} [paging] */
  withStatus(status, paging) {
    return this.#log.search({ status, ...paging })
  }

  /** Those that were answered with 400 or more. @param {Paging} [paging] */
  errors(paging) {
    return this.#log.search({ errors: true, ...paging })
  }

  /** Those that took more than a second. @param {Paging} [paging] */
  slow(paging) {
    return this.#log.search({ slow: true, ...paging })
  }

  /** Those of a method to paths of a pattern, `/users/*` for one. @param {string} method @param {string} path @param {Paging} [paging] */
  ofPath(method, path, paging) {
    return this.#log.search({ method, path, ...paging })
  }

  /** What comes from now on, until the signal aborts. @param {AbortSignal} signal */
  live(signal) {
    return this.#log.follow({ signal })
  }

  /**
   * Requests and errors of each hour by its name, and the different clients of a host.
   * @param {string} host @param {{ since?: Date, until?: Date }} [span]
   */
  async byHour(host, span) {
    const hours = await this.#log.hourly({ host, ...span })
    return new Map(
      hours.map(({ hour, requests, errors, visitors }) => [hourName(hour), { requests, errors, visitors }]),
    )
  }
}
