// The session's event log, newest first: read when it is opened, then kept up by the feed.
import { h, setText } from './dom.mjs'
import { clock, exact } from './format.mjs'
import { read } from './records.mjs'

const SHOWN = 200
const PAGE = 1000

export function activity(context) {
  const list = h('ol', { class: 'events' })
  const note = h('p', { class: 'note' }, 'Loading…')
  const block = h(
    'details',
    { class: 'activity', toggle: () => block.open && load() },
    h('summary', { class: 'log-toggle' }, 'Event log'),
    note,
    list,
  )
  let sessionId
  let loaded = false
  let known = new Set()

  async function load() {
    if (loaded) return
    loaded = true
    const mine = sessionId
    try {
      let cursor = ''
      let items
      do {
        const page = await read(
          `/api/sessions/${mine}/events?limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
        )
        if (mine !== sessionId) return
        items = page.items
        cursor = page.cursor
        add(items.slice(-SHOWN))
      } while (items.length === PAGE)
      setText(note, known.size === 0 ? 'Nothing has happened yet.' : '')
    } catch (error) {
      loaded = false
      setText(note, `The log could not be read: ${error.message}`)
    }
  }

  function add(events) {
    for (const event of events) {
      if (event.sessionId !== sessionId || known.has(event.eventId)) continue
      known.add(event.eventId)
      list.prepend(row(event, context))
    }
    while (list.childElementCount > SHOWN) list.lastElementChild.remove()
  }

  return {
    element: block,
    show(id) {
      if (id === sessionId) return
      sessionId = id
      loaded = false
      known = new Set()
      list.replaceChildren()
      setText(note, 'Loading…')
      if (block.open) load()
    },
    add: (events) => loaded && add(events),
    reload() {
      const id = sessionId
      sessionId = undefined
      this.show(id)
    },
  }
}

function row(event, context) {
  const subject = event.stepId
    ? context.stepLabel(event.stepId)
    : event.chainId
      ? context.chainLabel(event.chainId)
      : ''
  return h(
    'li',
    {},
    h('time', { datetime: event.at, title: exact(event.at) }, clock(event.at)),
    h('code', {}, event.type),
    h('span', { class: 'subject' }, subject),
  )
}
