// The real browser that shows the dashboard's page.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

function findChromium(): string {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const places = ['/usr/bin', ...(process.env.PATH ?? '').split(delimiter)]
  const found = places
    .flatMap((place) => names.map((name) => join(place, name)))
    .find((path) => existsSync(path))
  if (found === undefined)
    throw new Error(`the page is tested in a real browser: none of ${names.join(', ')} is installed`)
  return found
}

/** Starts the installed Chromium without a window. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: CHROMIUM_ARGS })
}
