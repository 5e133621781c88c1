import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { chromiumBinary } from '../setup/binaries.ts'

/** A host name that Chromium finds at 127.0.0.1, as if somebody had bound it to this machine. */
export const FOREIGN_HOST = 'rebound.example'

const ARGUMENTS = [
  `--host-resolver-rules=MAP ${FOREIGN_HOST} 127.0.0.1`,
  '--no-sandbox', // Chromium refuses to run as root with one
  '--disable-features=LocalNetworkAccessChecks', // what Studio refuses must not be refused by the browser before
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage', // containers have little of it
]

interface Seen {
  elsewhere: string[]
  errors: string[]
}

interface OpenOptions extends BrowserContextOptions {
  /** The errors that the page may log. Default: of answers that are errors, which the page shows itself. */
  logs?: RegExp
  /** True for the page of an attacker, which may ask the foreign host. */
  foreignHosts?: boolean
}

/**
 * Starts Chromium for a test file. `open` opens a page that is watched until the file ends: it must ask no other machine, and log
 * no error.
 */
export function browserOfFile() {
  let browser: Browser | undefined
  const watched: Seen[] = []
  beforeAll(async () => {
    browser = await launch()
  })
  afterEach(() => {
    for (const seen of watched) expect(seen).toEqual({ elsewhere: [], errors: [] })
  })
  afterAll(() => browser?.close())
  return {
    async open(url: string, { logs, foreignHosts = false, ...options }: OpenOptions = {}): Promise<Page> {
      if (browser === undefined) throw new Error('The browser is not started yet')
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
      const page = await context.newPage()
      page.setDefaultTimeout(15_000)
      watched.push(watch(page, foreignHosts ? FOREIGN : OWN, logs))
      await page.goto(url)
      return page
    },
  }
}

/** Goes to another page of Studio in the same document, where nothing that ran before is forgotten. */
export async function visit(page: Page, address: string): Promise<void> {
  await page.evaluate(`
    document.querySelector('main').replaceChildren()
    history.replaceState(null, '', ${JSON.stringify(address)})
    dispatchEvent(new HashChangeEvent('hashchange'))
  `)
}

/** Waits until everything that the page asked for is shown. */
export async function settled(page: Page): Promise<void> {
  await expect.poll(() => page.evaluate(LOADING), { interval: 10, timeout: 15_000 }).toEqual([])
}

/** What is loading, but for what is folded: that waits until somebody unfolds it. */
const LOADING = `document.querySelector('main :is(h1, .failure)') === null
  ? ['the page']
  : [...document.querySelectorAll('main [aria-busy], main .state')]
      .filter((element) => element.ariaBusy === 'true' || element.textContent.startsWith('Loading'))
      .filter((element) => element.closest('details:not([open])') === null)
      .map((element) => element.outerHTML)`

/** Starts Debian's Chromium without a window. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumBinary(), args: ARGUMENTS })
}

const OWN = new Set(['127.0.0.1'])
const FOREIGN = new Set([...OWN, 'localhost', FOREIGN_HOST])

/** Returns what a page does that it must not: requests to other machines, errors, and dialogs of scripts that somebody stored. */
function watch(page: Page, hosts: ReadonlySet<string>, allowed = /^Failed to load resource/): Seen {
  const seen: Seen = { elsewhere: [], errors: [] }
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (!(/^(blob|data|about):$/.test(protocol) || hosts.has(hostname))) seen.elsewhere.push(request.url())
  })
  page.on('pageerror', (error) => seen.errors.push(String(error)))
  page.on('dialog', (dialog) => {
    seen.errors.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('console', (message) => {
    if (message.type() === 'error' && !allowed.test(message.text())) seen.errors.push(message.text())
  })
  return seen
}
