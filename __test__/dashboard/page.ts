// The dashboard with a page of it in a real browser, for the tests of a group.
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { Backend } from './backend.js'
import { launchBrowser } from './browser.js'

/** What the tests of a group share: the backend is one for all, the page and its problems are each test's own. */
export interface Stage {
  backend: Backend
  page: Page
  /** Errors that the page told; at the end of a test there must be none. */
  problems: string[]
}

/** Gives each test of this group a new page, which waits so many ms, in the same browser and on the same backend. */
export function usePage(patience: number, give: (stage: Stage) => void): void {
  let backend: Backend
  let browser: Browser
  let stage: Stage
  beforeAll(async () => {
    backend = await Backend.start()
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await backend?.stop()
  })
  beforeEach(async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 } })
    const problems: string[] = []
    page.setDefaultTimeout(patience)
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    stage = { backend, page, problems }
    give(stage)
  })
  afterEach(async () => {
    await stage.page.close()
    expect(stage.problems).toEqual([])
  })
}
