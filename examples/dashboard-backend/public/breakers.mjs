// The circuit breakers around the services that the backend calls: state, rates, latest changes, orders.
import { h, reconcile, setText, statusMark } from './dom.mjs'
import { clock, exact } from './format.mjs'
import { read } from './records.mjs'

const ASK_MS = 1000
const CAUSES = {
  consecutive_failures: 'failures in a row',
  failures_in_window: 'too many failures',
  failure_rate: 'too many failures',
  slow_call_rate: 'too many slow calls',
  custom: 'a rule of the caller',
  probe_failed: 'the probe failed',
  probes_passed: 'the probes passed',
  time_over: 'its time was over',
  half_open_too_long: 'the probes took too long',
  command: '',
}
const CHANGES = {
  opened: 'open',
  halfOpened: 'half_open',
  closed: 'closed',
  isolated: 'isolated',
  disabled: 'disabled',
  reset: 'closed',
}
const MODES = ['works', 'fails', 'is slow']

/**
 * Keeps a section of the page up to date.
 * @param {HTMLElement} section
 * @param {{ actor: string, isLive(): boolean, announce(text: string): void }} page
 */
export function breakerPanel(section, { actor, isLive, announce }) {
  const list = section.querySelector('ul')
  const parts = new Map()

  function show(items) {
    section.hidden = items.length === 0
    reconcile(
      list,
      parts,
      items,
      ({ name }) => name,
      () => card({ order, tell, announce }),
    )
  }

  async function load() {
    if (document.hidden || !isLive()) return
    // Without an answer the page says so elsewhere, and this one is asked again.
    const answer = await read('/api/breakers').catch(() => null)
    if (answer !== null) show(answer.items)
  }

  async function order(name, what, reason) {
    const body = JSON.stringify({ actor, ...(reason && { reason }) })
    const headers = { 'content-type': 'application/json' }
    const path = `/api/breakers/${encodeURIComponent(name)}/${what}`
    await attempt(() => read(path, { method: 'POST', headers, body }))
  }

  async function tell(mode) {
    const headers = { 'content-type': 'application/json' }
    await attempt(() => read('/api/upstream', { method: 'PUT', headers, body: JSON.stringify({ mode }) }))
  }

  async function attempt(work) {
    try {
      await work()
    } catch (error) {
      announce(`Not done: ${error.message}`)
    }
    await load()
  }

  setInterval(load, ASK_MS)
  return { load }
}

function card({ order, tell, announce }) {
  const title = h('h3', {})
  const status = statusMark('large')
  const latest = h('p', { class: 'breaker-latest' })
  const figures = Object.fromEntries(
    ['calls', 'failed', 'slow', 'refused'].map((name) => [name, h('dd', {})]),
  )
  const reason = h('input', {
    maxlength: '200',
    autocomplete: 'off',
    placeholder: 'why',
    class: 'reason-field',
  })
  const changes = h('ol', { class: 'changes', 'aria-label': 'Latest changes' })
  const mode = h(
    'select',
    { change: () => tell(mode.value) },
    ...MODES.map((name) => h('option', { value: name }, name)),
  )
  let name = ''
  let before = ''

  const give = (what) => {
    order(name, what, reason.value.trim())
    reason.value = ''
  }
  const button = (what, text) =>
    h('button', { type: 'button', class: 'again small', click: () => give(what) }, text)

  return {
    element: h(
      'li',
      { class: 'breaker' },
      h('div', { class: 'title-line' }, title, status.element),
      h('dl', { class: 'rates' }, ...rates(figures)),
      h('label', { class: 'mode' }, 'The service ', mode),
      latest,
      changes,
      h(
        'div',
        { class: 'orders' },
        h('label', {}, 'Reason ', reason),
        button('isolate', 'Isolate'),
        button('reset', 'Reset'),
      ),
    ),
    update(breaker) {
      name = breaker.name
      setText(title, name)
      status.update(breaker.state)
      if (before !== '' && before !== breaker.state) announce(`${name}: ${status.element.textContent}`)
      before = breaker.state
      const { calls, failureRate, slowCallRate, rejected } = breaker.metrics
      setText(figures.calls, String(calls))
      setText(figures.failed, `${Math.round(failureRate)} %`)
      setText(figures.slow, `${Math.round(slowCallRate)} %`)
      setText(figures.refused, String(rejected))
      setText(latest, breaker.latest)
      // What is being chosen is not taken away.
      if (document.activeElement !== mode) mode.value = breaker.mode
      showChanges(changes, breaker.changes)
    },
  }
}

function rates(figures) {
  const names = { calls: 'calls in the window', failed: 'failed', slow: 'slow', refused: 'refused' }
  return Object.entries(figures).map(([name, value]) => h('div', {}, h('dt', {}, names[name]), value))
}

/** Written anew only when there is something new, so that a selection in it stays. */
function showChanges(list, changes) {
  const print = JSON.stringify(changes)
  if (list.dataset.print === print) return
  list.dataset.print = print
  list.replaceChildren(...changes.map(change))
}

function change({ event, at, cause, reason, actor }) {
  const mark = statusMark()
  mark.update(CHANGES[event] ?? 'disabled')
  const words = [event === 'reset' ? 'reset' : '', CAUSES[cause] ?? cause, reason].filter(Boolean)
  return h(
    'li',
    {},
    h('time', { datetime: at, title: exact(at) }, clock(at)),
    mark.element,
    h('span', { class: 'subject' }, words.join(', ')),
    h('span', { class: 'actor' }, actor ? `by ${actor}` : ''),
  )
}
