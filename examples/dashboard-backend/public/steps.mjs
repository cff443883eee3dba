// One step: a row that tells the essentials, and below it, on request, everything else.
import { h, icon, setText, statusMark } from './dom.mjs'
import { clock, duration, exact, plural, running, serverNow } from './format.mjs'

/** Bars thinner than this could not be seen. Percent of the track. */
const THINNEST_BAR = 0.8

const WITHOUT_RESULT = {
  pending: 'It has not begun yet.',
  in_progress: 'It is running. The output comes when it ends.',
  skipped: 'It was skipped and never ran.',
}

export function stepRow(context) {
  const status = statusMark()
  const number = h('span', { class: 'number' })
  const action = h('span', { class: 'action' })
  const attempt = h('span', { class: 'attempt' })
  const exit = h('span', { class: 'exit' })
  const bar = h('span', { class: 'bar' })
  const time = h('span', { class: 'time' })
  const reason = h('span', { class: 'reason', hidden: true })
  const detail = h('div', { class: 'detail' })
  const summary = h(
    'summary',
    { class: 'step-row' },
    status.element,
    h('span', { class: 'what' }, number, h('span', {}, action, ' ', attempt, ' ', exit), reason),
    h('span', { class: 'track', 'aria-hidden': 'true' }, bar),
    time,
    icon('caret'),
  )
  const block = h('details', { toggle: () => fill() }, summary, detail)
  const element = h('li', { class: 'step' }, block)
  let step
  let filled

  /** The detail of a closed row is not built: most are never opened. */
  function fill() {
    if (!block.open || filled === step) return
    filled = step
    detail.replaceChildren(...details(step, context))
  }

  return {
    element,
    update(next) {
      step = next
      element.dataset.status = step.status
      element.dataset.stepId = step.stepId
      status.update(step.status)
      setText(number, String(step.stepNumber))
      setText(action, step.action)
      setText(attempt, step.attempt > 1 ? `attempt ${step.attempt}` : '')
      setText(exit, exitText(step))
      const failed = step.status === 'failed' && step.error
      reason.hidden = !failed
      setText(reason, failed ? step.error : '')
      fill()
      this.tick()
    },
    tick() {
      if (step.startedAt === undefined) return setText(time, step.status === 'pending' ? '' : '–')
      const start = Date.parse(step.startedAt)
      const open = step.status === 'in_progress' || step.completedAt === undefined
      const end = open ? serverNow() : Date.parse(step.completedAt)
      setText(time, open ? running(end - start) : duration(end - start))
      const { from, span } = context.frame(step.chainId)
      const left = clamp(((start - from) / span) * 100, 0, 100 - THINNEST_BAR)
      const width = clamp(((end - start) / span) * 100, THINNEST_BAR, 100 - left)
      // Set through the object model: the page's policy forbids style attributes.
      bar.style.left = `${left}%`
      bar.style.width = `${width}%`
    },
  }
}

function exitText({ result }) {
  return Number.isInteger(result?.exitCode) ? `exit ${result.exitCode}` : ''
}

function* details(step, context) {
  if (step.error) yield h('p', { class: 'error-text' }, step.error)
  const result = step.result
  if (isOutput(result)) yield* output(result, step)
  else if (result !== undefined) yield block('Result', JSON.stringify(result, null, 2))
  else yield h('p', { class: 'note' }, WITHOUT_RESULT[step.status] ?? 'It left no result.')
  yield facts(step, context)
}

function isOutput(result) {
  return typeof result?.output === 'string'
}

function* output(result, step) {
  const earlier = Array.isArray(result.earlier) ? result.earlier : []
  const name = earlier.length > 0 ? `Output of attempt ${step.attempt}` : 'Output'
  yield block(result.truncated ? `${name} (the last part)` : name, printed(result.output))
  for (let back = 1; back <= earlier.length; back += 1) {
    const { exitCode, durationMs, output: text } = earlier[earlier.length - back]
    const end = Number.isInteger(exitCode) ? `exit ${exitCode}` : 'no exit code'
    yield block(`Attempt ${step.attempt - back}: ${end}, ${duration(durationMs)}`, printed(text), 'earlier')
  }
}

function printed(text) {
  return String(text ?? '').trimEnd() || '(nothing was printed)'
}

/** A long output scrolls by itself, and so it can be reached and scrolled by keyboard. */
function block(title, text, extraClass = '') {
  const heading = h('h4', {}, title)
  return h(
    'section',
    { class: `block ${extraClass}` },
    heading,
    h('pre', { tabindex: '0', role: 'region', 'aria-label': title }, text),
  )
}

function facts(step, context) {
  const list = h('dl', { class: 'facts' })
  const fact = (name, value) =>
    value !== undefined && value !== '' && list.append(h('div', {}, h('dt', {}, name), h('dd', {}, value)))
  const { command, cwd, ...inputs } = step.inputs
  fact('Command', command === step.action ? undefined : asText(command))
  fact('Directory', asText(cwd))
  fact('Inputs', Object.keys(inputs).length > 0 ? JSON.stringify(inputs) : undefined)
  fact('Model', step.model)
  fact('Waits for', step.waitsFor.map((id) => context.stepLabel(id)).join(', '))
  fact('Started', step.startedAt && time(step.startedAt))
  fact('Ended', step.completedAt && time(step.completedAt))
  fact('Changes', plural(step.version, 'version'))
  fact('Id', h('code', {}, step.stepId))
  return list
}

function asText(value) {
  return value === undefined || typeof value === 'string' ? value : JSON.stringify(value)
}

function time(iso) {
  return h('time', { datetime: iso, title: exact(iso) }, clock(iso))
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most)
}
