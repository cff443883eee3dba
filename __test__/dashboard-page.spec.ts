// The dashboard's page in a real browser.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { Backend, type Chain, PATIENCE, type Session, type Step } from './dashboard/backend.js'
import { usePage } from './dashboard/page.js'

/** What a browser tells of a server that goes away under a request, by where the request is; 404 is the lost session. */
const GONE =
  /ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|INCOMPLETE_CHUNKED_ENCODING|CONTENT_LENGTH_MISMATCH)|404/

describe('the page', () => {
  let backend: Backend
  let page: Page
  let problems: string[]
  usePage(PATIENCE.timeout, (stage) => {
    ;({ backend, page, problems } = stage)
  })

  const status = (action: string) => page.locator('.step', { hasText: action }).locator('.status-word')

  it('shows the recorded chain, with attempt 2 on the retried step', async () => {
    await page.goto(backend.url)
    await page.locator('.chain[data-status="completed"], .chain[data-status="failed"]').waitFor()
    const retried = page.locator('.step', { hasText: 'look up README.md' })
    await expect.poll(() => retried.locator('.attempt').textContent()).toBe('attempt 2')
    expect(await retried.locator('.status-word').textContent()).toBe('completed')
    await retried.locator('summary').click()
    await expect.poll(() => retried.locator('.earlier pre').textContent()).toContain('there was no index')
    expect(await retried.locator('.exit').textContent()).toBe('exit 0')
    await page.screenshot({ path: join(tmpdir(), 'flowkeep-dashboard.png') })
  })

  it('follows another client without a reload', async () => {
    await page.goto(`${backend.url}/?user=gil`)
    await page.getByText('No sessions for gil').waitFor()
    await page.evaluate(() => {
      Object.assign(window, { kept: true })
    })

    const { sessionId } = await backend.post<Session>('/api/users/gil/sessions', { title: 'Deploy' })
    await page.getByRole('heading', { level: 1, name: 'Deploy' }).waitFor()
    const { chainId } = await backend.post<Chain>(`/api/sessions/${sessionId}/chains`, { title: 'Roll out' })
    const { stepId } = await backend.post<Step>(`/api/chains/${chainId}/steps`, { action: 'push image' })
    await expect.poll(() => status('push image').textContent()).toBe('waiting')
    await backend.patch(`/api/steps/${stepId}`, { status: 'in_progress' })
    await expect.poll(() => status('push image').textContent()).toBe('running')
    const time = page.locator('.step .time')
    const before = await time.textContent()
    await expect.poll(() => time.textContent()).not.toBe(before)
    await backend.patch(`/api/steps/${stepId}`, { status: 'failed', error: 'no route to the registry' })
    await expect.poll(() => page.locator('.reason').textContent()).toBe('no route to the registry')
    await expect.poll(() => page.locator('#announcer').textContent()).toContain('push image: failed')
    expect(await page.locator('.chain .status-word').first().textContent()).toBe('failed')

    await backend.call('DELETE', `/api/sessions/${sessionId}`)
    await page.getByText('No sessions for gil').waitFor()
    expect(await page.evaluate(() => 'kept' in window)).toBe(true)
  })

  it('misses nothing across a reload', async () => {
    const { sessionId } = await backend.post<Session>('/api/users/joy/sessions', { title: 'Reloaded' })
    const { chainId } = await backend.post<Chain>(`/api/sessions/${sessionId}/chains`, { title: 'Count' })
    const count = (n: number) => backend.post(`/api/chains/${chainId}/steps`, { action: `number ${n}` })
    const shown = async () =>
      (await page.locator('.step').allTextContents()).map((text) => /number \d+/.exec(text)?.[0])
    const upTo = (n: number) => Array.from({ length: n }, (_, at) => `number ${at}`)
    await page.goto(`${backend.url}/?user=joy`)
    await page.getByRole('heading', { level: 1, name: 'Reloaded' }).waitFor()
    for (let n = 0; n < 10; n++) {
      await count(2 * n)
      // One more comes while the page is being loaded.
      await Promise.all([page.reload(), count(2 * n + 1)])
      await expect.poll(shown, PATIENCE).toEqual(upTo(2 * n + 2))
    }
  })

  it('shows an outage: what is kept, and how it is brought', async () => {
    await page.goto(backend.url)
    const again = page.getByRole('button', { name: 'Run again' })
    await again.waitFor()
    await page.locator('.chain[data-status="completed"], .chain[data-status="failed"]').first().waitFor()
    const before = await page.locator('.chain').count()
    const outage = page.getByRole('switch', { name: 'Simulate outage' })
    const words = () => page.locator('#storage').textContent()
    await outage.click()
    await expect.poll(words, PATIENCE).toContain('degraded')
    await again.click()
    await expect.poll(words, PATIENCE).toMatch(/degraded, \d\d writes kept/)
    expect(await outage.getAttribute('aria-checked')).toBe('true')
    await outage.click()
    await expect.poll(words, PATIENCE).toMatch(/healthy, \d+ writes brought in \d+ ms/)
    await expect.poll(() => page.locator('.chain').count(), PATIENCE).toBe(before + 1)
    const status = () => page.locator('.chain').first().getAttribute('data-status')
    await expect.poll(status, PATIENCE).toMatch(/completed|failed/)
    expect(await outage.getAttribute('aria-checked')).toBe('false')
  })

  it('records again at the press of a button', async () => {
    await page.goto(backend.url)
    const button = page.getByRole('button', { name: 'Run again' })
    await button.waitFor()
    await page.locator('.chain').first().waitFor()
    const before = await page.locator('.chain').count()
    await button.click()
    await expect.poll(() => page.locator('.chain').count()).toBe(before + 1)
    await page.locator('.chain').first().locator('.step[data-status="in_progress"]').first().waitFor()
    await expect
      .poll(() => page.locator('.chain').first().getAttribute('data-status'), { timeout: 15_000 })
      .not.toBe('in_progress')
    await button.waitFor()
  })

  it('shows markup in data as text', async () => {
    const evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    const { sessionId } = await backend.post<Session>('/api/users/hal/sessions', {
      title: evil,
      tags: ['<b>t</b>'],
    })
    const { chainId } = await backend.post<Chain>(`/api/sessions/${sessionId}/chains`, {
      title: evil,
      summary: evil,
    })
    const { stepId } = await backend.post<Step>(`/api/chains/${chainId}/steps`, {
      action: evil,
      inputs: { a: evil },
    })
    await backend.patch(`/api/steps/${stepId}`, { status: 'failed', error: evil, result: { output: evil } })
    await page.goto(`${backend.url}/?user=hal`)
    await page.locator('.step summary').click()
    await page.locator('.detail pre').waitFor()
    expect(await page.locator('.reason').textContent()).toBe(evil)
    expect(await page.evaluate(() => 'hit' in window || document.images.length > 0)).toBe(false)
  })

  it('is reached and worked by keyboard alone', async () => {
    for (const title of ['First', 'Second']) await backend.post('/api/users/ida/sessions', { title })
    await page.goto(`${backend.url}/?user=ida`)
    await page.getByRole('link', { name: 'First' }).waitFor()
    await page.getByRole('switch', { name: 'Simulate outage' }).waitFor()
    await page.locator('#user').focus()
    await page.keyboard.press('Tab')
    expect(await focused(page)).toContain('Simulate outage')
    await page.keyboard.press('Tab')
    expect(await focused(page)).toContain('Second')
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement ?? document.body).outlineStyle,
    )
    expect(outline).toBe('solid')
    await page.keyboard.press('ArrowDown')
    expect(await focused(page)).toContain('First')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'First' }).waitFor()

    await page.goto(backend.url)
    await page.locator('.step').first().waitFor()
    const seen: string[] = []
    for (let presses = 0; presses < 40; presses += 1) {
      await page.keyboard.press('Tab')
      const text = await focused(page)
      seen.push(text)
      if (text.includes('node --version')) break
    }
    expect(seen.join('\n')).toContain('Run again')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.locator('.step details[open] pre').textContent()).toMatch(/^v\d+/)
  })

  it('says by roles, names and languages what it shows', async () => {
    await page.goto(backend.url)
    await page.locator('.step').first().waitFor()
    await page.locator('.breaker').waitFor()
    const faults = await page.evaluate(() => {
      const found: string[] = []
      if (!document.documentElement.lang) found.push('no language')
      if (document.querySelectorAll('main').length !== 1 || document.querySelectorAll('h1').length !== 1)
        found.push('one main and one h1')
      for (const nav of document.querySelectorAll('nav'))
        if (!document.getElementById(nav.getAttribute('aria-labelledby') ?? ''))
          found.push('nav without a name')
      for (const input of document.querySelectorAll<HTMLInputElement | HTMLSelectElement>('input, select'))
        if (input.labels?.length !== 1) found.push('input without a label')
      for (const control of document.querySelectorAll('a, button, summary')) {
        if (!(control.getAttribute('aria-label') ?? control.textContent ?? '').trim())
          found.push(`no name: ${control.outerHTML.slice(0, 80)}`)
      }
      const ids = [...document.querySelectorAll('[id]')].map((element) => element.id)
      if (new Set(ids).size !== ids.length) found.push('an id twice')
      for (const mark of document.querySelectorAll('.status'))
        if (!mark.querySelector('svg') || !mark.textContent) found.push('a status without shape and word')
      if (!document.querySelector('[aria-live="polite"]')) found.push('nothing is announced')
      return found
    })
    expect(faults).toEqual([])
  })

  it.each(['light', 'dark'] as const)('has enough contrast in the %s scheme', async (colorScheme) => {
    await page.emulateMedia({ colorScheme })
    await page.goto(backend.url)
    await page.locator('.chain[data-status="completed"], .chain[data-status="failed"]').first().waitFor()
    await page.locator('.step summary').first().click()
    await page.locator('.breaker').waitFor()
    const { dark, weak } = await page.evaluate(contrasts)
    expect(dark).toBe(colorScheme === 'dark')
    expect(weak).toEqual([])
    await page.screenshot({ path: join(tmpdir(), `flowkeep-dashboard-${colorScheme}.png`), fullPage: true })
  })

  it('fits a narrow screen', async () => {
    await page.setViewportSize({ width: 360, height: 720 })
    await page.goto(backend.url)
    await page.locator('.step').first().waitFor()
    await page.locator('.breaker').waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    )
  })

  it('runs nothing that is not its own', async () => {
    const response = await page.goto(backend.url)
    const policy = response?.headers()['content-security-policy'] ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toContain('unsafe')
    const requests: string[] = []
    page.on('request', (request) => requests.push(request.url()))
    await page.reload()
    await page.locator('.step').first().waitFor()
    expect(requests.filter((url) => !url.startsWith(backend.url))).toEqual([])
  })

  it('says so when the backend is gone, and goes on when it is back', async () => {
    const own = await Backend.start()
    await page.goto(own.url)
    await page.locator('.step').first().waitFor()
    await own.stop()
    await page.getByRole('alert').getByText('can’t be reached').waitFor()
    const again = await Backend.start({ PORT: new URL(own.url).port })
    try {
      expect(again.url).toBe(own.url)
      await page.locator('#connection', { hasText: 'live' }).waitFor()
      const { chain } = await again.recorded()
      // Memory forgot the session that was shown; the page shows the new one, or says that the old one is gone.
      await page.getByRole('link', { name: 'This checkout' }).click()
      await page.locator(`[data-chain-id="${chain.chainId}"]`).waitFor()
      expect(await page.locator('.sessions li').count()).toBe(1)
    } finally {
      await again.stop()
      problems.splice(0, problems.length, ...problems.filter((text) => !GONE.test(text)))
    }
  })
})

async function focused(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement?.textContent ?? '')
}

/** Every visible text that stands out too little from its ground (WCAG AA, 4.5:1). Runs in the page. */
function contrasts(): { dark: boolean; weak: string[] } {
  const channels = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number)
  const light = (colour: string) => {
    const [r = 0, g = 0, b = 0] = channels(colour)
      .slice(0, 3)
      .map((part) => {
        const value = part / 255
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
      })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = (element: Element | null): string => {
    if (element === null) return 'rgb(255, 255, 255)'
    const colour = getComputedStyle(element).backgroundColor
    return colour.startsWith('rgb(') ? colour : ground(element.parentElement)
  }
  const weak = [...document.querySelectorAll('body *')]
    .filter((element) =>
      [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim()),
    )
    .filter((element) => element.checkVisibility() && element.closest('.unseen, noscript, .skip') === null)
    .flatMap((element) => {
      const [front, back] = [light(getComputedStyle(element).color), light(ground(element))]
      const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05)
      return ratio < 4.5
        ? [`${element.className}: ${element.textContent?.slice(0, 30)} ${ratio.toFixed(2)}`]
        : []
    })
  return { dark: light(ground(document.documentElement)) < 0.2, weak }
}
