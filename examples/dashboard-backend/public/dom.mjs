// Small helpers over the DOM. Text from the storage enters through textContent only, never as markup.

/**
 * An element with attributes and children. `class` and `data-*` are attributes like any other; a function is a listener.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined))
  return element
}

const SVG = 'http://www.w3.org/2000/svg'

/** One of the symbols of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  svg.append(document.createElementNS(SVG, 'use'))
  setIcon(svg, name)
  return svg
}

export function setIcon(svg, name) {
  const href = `#i-${name}`
  if (svg.firstChild.getAttribute('href') !== href) svg.firstChild.setAttribute('href', href)
}

/** Writes only what differs: a screen reader, a selection and the browser's layout notice every write. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/**
 * Makes the children of a list match its items: one part `{ element, update(item) }` per key, kept as long as the key is there,
 * so that focus, selection and open blocks survive a change.
 */
export function reconcile(list, parts, items, key, make) {
  const wanted = new Set(items.map(key))
  for (const [id, part] of parts) {
    if (wanted.has(id)) continue
    part.element.remove()
    parts.delete(id)
  }
  let place = list.firstElementChild
  for (const item of items) {
    let part = parts.get(key(item))
    if (part === undefined) {
      part = make(item)
      parts.set(key(item), part)
    }
    part.update(item)
    if (part.element === place) place = place.nextElementSibling
    else list.insertBefore(part.element, place)
  }
}

/** A status as a shape and a word; the colour comes on top. */
export function statusMark(extraClass = '') {
  const shape = icon('pending')
  const word = h('span', { class: 'status-word' })
  const element = h('span', { class: `status ${extraClass}` }, shape, word)
  return {
    element,
    update(status) {
      element.dataset.status = status
      setIcon(shape, status)
      setText(word, STATUS_WORDS[status] ?? status)
    },
  }
}

export const STATUS_WORDS = {
  pending: 'waiting',
  in_progress: 'running',
  completed: 'completed',
  failed: 'failed',
  skipped: 'skipped',
  cancelled: 'cancelled',
  active: 'active',
  paused: 'paused',
  closed: 'closed',
  open: 'open',
  half_open: 'probing',
  isolated: 'isolated',
  disabled: 'disabled',
}
