// Records what an Express application is asked and answers: `app.use(recordRequests(recorder))`, before everything else.
import { bodyOf, headersOf } from './recorder.mjs'

/**
 * Each exchange is recorded when its response is over, sent or cut off: only then has the body been read by whoever
 * stands behind.
 * @param {import('./recorder.mjs').Recorder} recorder
 */
export function recordRequests(recorder) {
  /** @param {any} request @param {any} response @param {() => void} next */
  return (request, response, next) => {
    const { method, originalUrl: url } = request
    /** @type {unknown} */
    let sent
    const send = response.send
    response.send = (/** @type {unknown} */ body) => {
      // `json` sends its text through here as well, and `send` an object through `json`: the last word counts.
      sent = body
      return send.call(response, body)
    }
    response.once('close', () => {
      const [asked, answered] = [headersOf(request.headers), headersOf(response.getHeaders())]
      const body = bodyOf(request.body, asked['content-type'])
      const answer = bodyOf(sent, answered['content-type'])
      recorder.record({
        request: { method, url, headers: asked, ...(body === undefined ? {} : { body }) },
        response: {
          status: response.statusCode,
          headers: answered,
          ...(answer === undefined ? {} : { body: answer }),
          ...(response.writableFinished ? {} : { aborted: true }),
        },
      })
    })
    next()
  }
}
