// The list of sessions, and the heading of the chosen one.
import { h, icon, reconcile, setText, statusMark } from './dom.mjs'
import { ago, exact } from './format.mjs'

/** The list at the left. Links, so that a session has an address; arrow keys move between them. */
export function sessionList(list) {
  const parts = new Map()
  list.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined) return
    const links = [...list.querySelectorAll('a')]
    const next = links[links.indexOf(document.activeElement) + step]
    if (next === undefined) return
    event.preventDefault()
    next.focus()
  })
  return {
    update(sessions, selected) {
      reconcile(
        list,
        parts,
        sessions,
        (session) => session.sessionId,
        () => sessionLink(),
      )
      for (const [id, part] of parts) part.select(id === selected)
    },
  }
}

function sessionLink() {
  const title = h('span', { class: 'session-title' })
  const status = statusMark()
  const changed = h('time', {})
  const link = h('a', {}, title, h('span', { class: 'session-line' }, status.element, changed))
  return {
    element: h('li', {}, link),
    update(session) {
      link.href = `#${session.sessionId}`
      setText(title, session.title ?? 'Untitled session')
      status.update(session.state)
      changed.dateTime = session.updatedAt
      changed.title = exact(session.updatedAt)
      setText(changed, ago(session.updatedAt))
    },
    select(chosen) {
      if (chosen) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    },
  }
}

/** The heading of the chosen session, with the button that records once more. */
export function sessionHead({ canRecord, record }) {
  const title = h('h1', {})
  const status = statusMark('large')
  const tags = h('ul', { class: 'tags', 'aria-label': 'Tags' })
  const facts = h('p', { class: 'session-facts' })
  const label = h('span', {})
  const button = h(
    'button',
    {
      type: 'button',
      class: 'again',
      hidden: !canRecord,
      click: () => button.getAttribute('aria-disabled') !== 'true' && record(),
    },
    icon('again'),
    label,
  )
  return {
    element: h(
      'div',
      { class: 'session-head' },
      h('div', { class: 'title-line' }, title, status.element),
      button,
      facts,
      tags,
    ),
    update(session, recording) {
      setText(title, session.title ?? 'Untitled session')
      status.update(session.state)
      setText(label, recording ? 'Running…' : 'Run again')
      button.setAttribute('aria-disabled', String(recording))
      facts.replaceChildren(...parts(session))
      tags.hidden = session.tags.length === 0
      tags.replaceChildren(...session.tags.map((tag) => h('li', {}, tag)))
    },
  }
}

function parts({ sessionId, createdAt, expiresAt }) {
  const created = h('time', { datetime: createdAt, title: exact(createdAt) }, `opened ${ago(createdAt)}`)
  const expiry = expiresAt
    ? h('time', { datetime: expiresAt }, `kept until ${exact(expiresAt)}`)
    : h('span', {}, 'kept for ever')
  return [created, expiry, h('code', {}, sessionId)]
}
