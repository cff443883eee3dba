// What both recorders share: an exchange becomes an entry of a service's history, without anybody waiting for it.

/** A response's body is kept when it is JSON or text of at most so many characters; the history cuts once more. */
const BODY_CHARACTERS = 64 * 1024

/** @param {unknown} type of the content */
const isJson = (type) => /^application\/(.*\+)?json\b/i.test(String(type))

/** Headers that are there: a list stays one. */
export function headersOf(/** @type {Record<string, unknown>} */ headers) {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)]),
  )
}

/** What of a body can be kept: JSON as it is, so that masks by path reach into it, or text; of anything else its kind. */
export function bodyOf(/** @type {unknown} */ body, /** @type {unknown} */ type) {
  if (body === undefined || body === null || body === '') return undefined
  const text = Buffer.isBuffer(body) ? body.toString('utf8') : body
  if (typeof text !== 'string')
    return isPlain(text) ? JSON.parse(JSON.stringify(text)) : '[not kept: a stream]'
  if (text.length > BODY_CHARACTERS) return `[not kept: ${text.length} characters]`
  if (isJson(type)) {
    try {
      return JSON.parse(text)
    } catch {
      return '[not kept: it says that it is JSON and is none]'
    }
  }
  return /^text\//i.test(String(type)) && text.isWellFormed() ? text : '[not kept: no text]'
}

/** @param {unknown} value @returns {value is object} */
const isPlain = (value) =>
  Array.isArray(value) || (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)

/** Writes exchanges into a history behind the server's back. */
export class Recorder {
  #history
  #onError
  /** @type {Set<Promise<unknown>>} */
  #writing = new Set()

  /**
   * @param {import('flowkeep').History} history
   * @param {(error: unknown) => void} [onError] hears what could not be recorded; the exchange itself never does
   */
  constructor(history, onError = () => {}) {
    this.#history = history
    this.#onError = onError
  }

  /**
   * Records a request now; what it gives records the response when there is one.
   * @param {import('flowkeep').RecordedRequest} request
   * @returns {(response: object) => void}
   */
  begin(request) {
    const entry = this.#later(this.#history.record({ request }))
    return (response) => {
      this.#later(entry.then((made) => made && this.#history.setResponse(made.id, response)))
    }
  }

  /** Records a whole exchange. @param {import('flowkeep').Exchange} exchange */
  record(exchange) {
    this.#later(this.#history.record(exchange))
  }

  /** Once everything that was begun is written. */
  async settled() {
    while (this.#writing.size > 0) await Promise.all(this.#writing)
  }

  /** @template T @param {Promise<T>} work */
  #later(work) {
    const told = work.catch((error) => void this.#onError(error))
    this.#writing.add(told)
    told.finally(() => this.#writing.delete(told))
    return told
  }
}
