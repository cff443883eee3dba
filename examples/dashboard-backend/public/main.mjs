// Puts the page together: what is chosen, what is loaded, what moves.
import { activity } from './activity.mjs'
import { breakerPanel } from './breakers.mjs'
import { chainCard } from './chains.mjs'
import { h, reconcile, STATUS_WORDS, setText } from './dom.mjs'
import { follow } from './feed.mjs'
import { serverNow, setServerTime } from './format.mjs'
import { Records, read, SHOWN_AT_MOST } from './records.mjs'
import { sessionHead, sessionList } from './sessions.mjs'

const DEMO_USER = 'demo'
/** Running times are rewritten this often; relative ones ("2 min ago") need less. */
const TICK_MS = 100
const SLOW_TICK_MS = 10_000
/** Sessions leave by expiry without an event, so the list is read again now and then. */
const RELOAD_MS = 60_000

const $ = (id) => document.getElementById(id)
const userId = new URLSearchParams(location.search).get('user') || DEMO_USER
const records = new Records()
const main = $('main')
const list = sessionList($('sessions'))

let selected = ''
let instance = ''
let problem = ''
let trouble = ''
let connection = 'connecting'
let loaded = false
let asking = false

// --- the chosen session ---------------------------------------------------------------------------------------------

const context = {
  stepsOf: (chainId) => records.stepsOf(chainId),
  opened: (chainId) => loadSteps(chainId),
  stepLabel: (stepId) => {
    const step = records.steps.get(stepId)
    return step ? `${step.stepNumber} ${step.action}` : 'a step that is not shown'
  },
  chainLabel: (chainId) => records.chains.get(chainId)?.title ?? '',
  /** The stretch of time that the bars of a chain share. */
  frame(chainId) {
    const chain = records.chains.get(chainId)
    const from = Date.parse(chain?.startedAt ?? chain?.createdAt ?? 0)
    const to = chain?.completedAt ? Date.parse(chain.completedAt) : serverNow()
    return { from, span: Math.max(to - from, 1) }
  },
}
const head = sessionHead({ canRecord: userId === DEMO_USER, record })
const chainList = h('ol', { class: 'chains', 'aria-label': 'Chains' })
const chainNote = h('p', { class: 'note' })
const log = activity(context)
const chainParts = new Map()
const breakers = breakerPanel($('breakers'), {
  actor: userId,
  isLive: () => connection === 'live',
  announce,
})

function choose(sessionId) {
  if (sessionId === selected) return
  selected = sessionId
  chainParts.clear()
  chainList.replaceChildren()
  log.show(sessionId)
  loadChains(sessionId)
  render()
}

/** The session of the address, or the newest one. */
function route() {
  const wanted = decodeURIComponent(location.hash.slice(1))
  if (wanted.startsWith('ses_')) choose(wanted)
  else if (wanted === '' && !records.sessions.has(selected)) choose(records.sessionList()[0]?.sessionId ?? '')
}

async function record() {
  asking = true
  render()
  try {
    const { sessionId } = await read('/api/record', { method: 'POST' })
    location.hash = sessionId
  } catch (error) {
    announce(`Not started: ${error.message}`)
  }
  // Until the feed has brought the new chain, which then keeps the button busy by itself.
  setTimeout(() => {
    asking = false
    render()
  }, 600)
}

// --- loading --------------------------------------------------------------------------------------------------------

async function attempt(load) {
  try {
    await load()
    problem = ''
  } catch (error) {
    problem =
      error.status === undefined
        ? 'The backend can’t be reached.'
        : `Not everything could be read: ${error.message}.`
  }
  render()
}

async function loadSessions() {
  await attempt(async () => {
    const path = `/api/users/${encodeURIComponent(userId)}/sessions?order=desc&limit=${SHOWN_AT_MOST}`
    await records.takeList(
      records.sessions,
      'sessionId',
      () => true,
      async () => (await read(path)).items,
    )
    loaded = true
  })
  route()
}

/** The chains of a session, and the steps of those that are open; another chain's are read when it is opened. */
async function loadChains(sessionId) {
  if (sessionId === '') return
  await attempt(async () => {
    const path = `/api/sessions/${sessionId}/chains?order=desc&limit=${SHOWN_AT_MOST}`
    await records.takeList(
      records.chains,
      'chainId',
      (chain) => chain.sessionId === sessionId,
      () => listOf(path),
    )
  })
  for (const [chainId, part] of chainParts) if (part.isOpen()) loadSteps(chainId)
}

async function loadSteps(chainId) {
  await attempt(() =>
    records.takeList(
      records.steps,
      'stepId',
      (step) => step.chainId === chainId,
      () => listOf(`/api/chains/${chainId}/steps`),
    ),
  )
}

/** What was deleted in the meantime has nothing below it. */
async function listOf(path) {
  try {
    return (await read(path)).items
  } catch (error) {
    if (error.status === 404) return []
    throw error
  }
}

// --- the feed -------------------------------------------------------------------------------------------------------

follow(userId, {
  async hello(message) {
    setServerTime(message.now)
    if (message.resumed && message.instance === instance) return
    instance = message.instance
    await loadSessions()
    if (selected !== '') await loadChains(selected)
    log.reload()
  },
  changes({ now, events, ...changed }) {
    setServerTime(now)
    records.put(changed)
    for (const event of events) records.forget(event)
    render()
    log.add(events)
    tell(events)
    route()
  },
  status: showStorage,
  connection(state) {
    connection = state
    const [tone, text] = {
      live: ['good', 'live'],
      reconnecting: ['bad', 'reconnecting…'],
      refused: ['bad', 'not live, trying again'],
    }[state]
    chip($('connection'), tone, text)
    if (state === 'live') breakers.load()
    render()
  },
})

function showStorage({ backend, state, trouble: code, outage }) {
  const tone = code || state !== 'healthy' ? 'bad' : 'good'
  const words = [code && state === 'healthy' ? 'not answering' : state, ...(outage ? keptWords(outage) : [])]
  chip($('storage'), tone, `${backend} storage: ${words.join(', ')}`)
  showOutage(outage)
  trouble = code ? `The storage can’t answer (${code}). What you see may be out of date.` : ''
  render()
}

/** What is kept for later, and what came of it. */
function keptWords({ on, kept, conflicts, recovered }) {
  const writes = (count) => `${count} ${count === 1 ? 'write' : 'writes'}`
  if (kept > 0) return [`${writes(kept)} ${on ? 'kept' : 'to go'}`]
  const met = conflicts > 0 ? [`${conflicts} in conflict`] : []
  return recovered ? [`${writes(recovered.writes)} brought in ${recovered.ms} ms`, ...met] : met
}

function showOutage(outage) {
  const button = $('outage')
  button.hidden = !outage
  button.setAttribute('aria-checked', String(outage?.on ?? false))
}

async function turnOutage() {
  const on = $('outage').getAttribute('aria-checked') !== 'true'
  const body = JSON.stringify({ on })
  const headers = { 'content-type': 'application/json' }
  try {
    showOutage(await read('/api/outage', { method: 'PUT', headers, body }))
    announce(on ? 'The outage begins: what you do is kept.' : 'The outage ends.')
  } catch (error) {
    announce(`Not switched: ${error.message}`)
  }
}

function chip(element, tone, text) {
  element.dataset.tone = tone
  setText(element.querySelector('.chip-text'), text)
}

// --- telling those who do not see -----------------------------------------------------------------------------------

/** One sentence per message of the feed, about the chosen session only. */
function tell(events) {
  const sentences = []
  for (const { type, sessionId, chainId, stepId } of events) {
    const [kind, what] = type.split(':')
    const record = { step: records.steps.get(stepId), chain: records.chains.get(chainId) }[kind]
    if (sessionId !== selected || record === undefined || ['created', 'updated', 'deleted'].includes(what))
      continue
    const word =
      what === 'started'
        ? 'running'
        : what === 'retried'
          ? `running again, attempt ${record.attempt}`
          : (STATUS_WORDS[what] ?? what)
    sentences.push(
      kind === 'step'
        ? `Step ${record.stepNumber}, ${record.action}: ${word}`
        : `Chain ${record.title}: ${word}`,
    )
  }
  if (sentences.length > 0) announce(sentences.join('. '))
}

function announce(text) {
  setText($('announcer'), text)
}

// --- drawing --------------------------------------------------------------------------------------------------------

let drawing = false

/** Many changes of one moment are drawn once. */
function render() {
  if (drawing) return
  drawing = true
  requestAnimationFrame(() => {
    drawing = false
    draw()
  })
}

function draw() {
  drawBanner()
  const sessions = records.sessionList()
  list.update(sessions, selected)
  setText($('session-count'), sessions.length === 0 ? '' : String(sessions.length))
  drawNote(
    $('sessions-note'),
    loaded && sessions.length === 0
      ? 'None yet.'
      : sessions.length >= SHOWN_AT_MOST
        ? `The latest ${SHOWN_AT_MOST} are shown.`
        : '',
  )
  main.setAttribute('aria-busy', String(!loaded))
  if (!loaded) return
  const session = records.sessions.get(selected)
  if (session === undefined) return drawEmpty()
  drawSession(session)
}

function drawSession(session) {
  const chains = records.chainsOf(session.sessionId).slice(0, SHOWN_AT_MOST)
  const busy =
    asking || chains.some((chain) => chain.status === 'in_progress' && chain.metadata.recorder !== undefined)
  head.update(session, busy)
  // The newest chain is open, and so is every one that arrives while the page is.
  let first = chainParts.size === 0
  reconcile(
    chainList,
    chainParts,
    chains,
    (chain) => chain.chainId,
    (chain) => {
      const open = first || chain.createdAt > newestShown()
      first = false
      return chainCard(context, open)
    },
  )
  drawNote(chainNote, chains.length === 0 ? 'No chains in this session yet.' : '')
  if (head.element.parentNode !== main) main.replaceChildren(head.element, chainList, chainNote, log.element)
  const running = chains.some((chain) => chain.status === 'in_progress')
  document.title = `${running ? '▸ ' : ''}${session.title ?? 'Session'} – flowkeep`
}

function newestShown() {
  return (
    [...chainParts.keys()]
      .map((id) => records.chains.get(id)?.createdAt ?? '')
      .sort()
      .at(-1) ?? ''
  )
}

function drawEmpty() {
  document.title = 'flowkeep'
  const known = records.sessions.size > 0
  main.replaceChildren(
    h(
      'div',
      { class: 'empty' },
      h('h1', {}, known ? 'This session is not here' : `No sessions for ${userId}`),
      h(
        'p',
        {},
        known
          ? 'It was deleted or has expired. Choose another one from the list.'
          : 'A session appears here the moment it is created. For example:',
      ),
      known ? null : h('pre', { tabindex: '0' }, example()),
    ),
  )
}

function example() {
  const path = `/api/users/${encodeURIComponent(userId)}/sessions`
  return `curl -X POST ${location.origin}${path} \\\n  -H 'content-type: application/json' -d '{"title":"Hello"}'`
}

function drawBanner() {
  const gone =
    'The backend can’t be reached. What you see may be out of date; the page goes on by itself as soon as it answers.'
  const texts = { connecting: '', live: trouble || problem, reconnecting: gone, refused: gone }
  drawNote($('banner'), texts[connection])
}

function drawNote(element, text) {
  element.hidden = text === ''
  setText(element, text)
}

// --- clocks ---------------------------------------------------------------------------------------------------------

setInterval(() => {
  for (const [id, part] of chainParts) if (records.chains.get(id)?.status === 'in_progress') part.tick()
}, TICK_MS)
setInterval(() => {
  for (const [id, part] of chainParts) if (records.chains.has(id)) part.tick()
  render()
}, SLOW_TICK_MS)
setInterval(() => connection === 'live' && loadSessions(), RELOAD_MS)

$('user').value = userId
$('outage').addEventListener('click', turnOutage)
addEventListener('hashchange', route)
