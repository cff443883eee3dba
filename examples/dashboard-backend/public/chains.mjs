// One chain: a heading with its state, a meter of its steps, and the steps.
import { h, icon, reconcile, setText, statusMark } from './dom.mjs'
import { ago, duration, exact, plural, running, serverNow } from './format.mjs'
import { stepRow } from './steps.mjs'

/** Order and field names of `stepCounts`, and the status that each one counts. */
const COUNTS = {
  completed: 'completed',
  failed: 'failed',
  inProgress: 'in_progress',
  skipped: 'skipped',
  pending: 'pending',
}

export function chainCard(context, open) {
  const status = statusMark('large')
  const title = h('h3', {})
  const counts = h('span', { class: 'counts' })
  const time = h('span', { class: 'time' })
  const started = h('time', { class: 'started' })
  const segments = Object.fromEntries(
    Object.entries(COUNTS).map(([field, name]) => [
      field,
      h('span', { class: 'segment', 'data-status': name }),
    ]),
  )
  const meter = h('span', { class: 'meter', 'aria-hidden': 'true' }, ...Object.values(segments))
  const text = h('p', { class: 'chain-summary', hidden: true })
  const list = h('ol', { class: 'steps' })
  const empty = h('p', { class: 'note' })
  const rows = new Map()
  const block = h(
    'details',
    { open, toggle: () => block.open && opened() },
    h(
      'summary',
      { class: 'chain-top' },
      icon('caret'),
      title,
      status.element,
      h('span', { class: 'line' }, counts, time, started),
      meter,
    ),
    text,
    list,
    empty,
  )
  const element = h('li', { class: 'chain' }, block)
  let chain

  function opened() {
    context.opened(chain.chainId)
    part.update(chain)
  }

  const part = {
    element,
    isOpen: () => block.open,
    update(next) {
      chain = next
      element.dataset.status = chain.status
      element.dataset.chainId = chain.chainId
      setText(title, chain.title)
      status.update(chain.status)
      setText(counts, countText(chain.stepCounts))
      for (const [field, segment] of Object.entries(segments)) {
        segment.hidden = chain.stepCounts[field] === 0
        segment.style.flexGrow = String(chain.stepCounts[field])
      }
      text.hidden = !chain.summary
      setText(text, chain.summary ?? '')
      if (block.open) {
        reconcile(
          list,
          rows,
          context.stepsOf(chain.chainId),
          (step) => step.stepId,
          () => stepRow(context),
        )
        empty.hidden = rows.size > 0
        setText(empty, chain.stepCounts.total === 0 ? 'No steps yet.' : 'Loading the steps…')
      }
      part.tick()
    },
    tick() {
      const from = chain.startedAt ?? chain.createdAt
      started.dateTime = from
      started.title = exact(from)
      setText(started, ago(from))
      if (chain.startedAt === undefined) return setText(time, '')
      const start = Date.parse(chain.startedAt)
      setText(
        time,
        chain.completedAt ? duration(Date.parse(chain.completedAt) - start) : running(serverNow() - start),
      )
      if (chain.status === 'in_progress') for (const row of rows.values()) row.tick()
    },
  }
  return part
}

function countText({ total, completed, failed, skipped }) {
  const parts = [`${completed} of ${plural(total, 'step')}`]
  if (failed > 0) parts.push(`${failed} failed`)
  if (skipped > 0) parts.push(`${skipped} skipped`)
  return parts.join(', ')
}
