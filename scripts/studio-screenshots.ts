/**
 * Draws the pages of Studio into a directory, in light and dark, wide and narrow, and a sheet of all pages for each scheme:
 * `npx tsx scripts/studio-screenshots.ts DIR [PAGE]`.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { openStorage } from '../src/index.ts'
import { startStudio } from '../src/studio/index.ts'
import { chromiumBinary } from '../test/setup/binaries.ts'
import { fill } from '../test/studio/filled.ts'

const PAGES = {
  overview: '#/',
  sessions: '#/sessions',
  conversation: '#/session?id=oslo',
  search: '#/search?q=oslo',
  memories: '#/memories',
  events: '#/events',
  queues: '#/queues',
  approvals: '#/approvals?status=all',
  executions: '#/executions',
  blobs: '#/blobs',
  configuration: '#/configuration',
}

const [directory = 'screenshots', only] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
const work = join(tmpdir(), `studio-${process.pid}`)
const storage = await openStorage({
  database: { type: 'sqlite', path: join(work, 'agent.db'), options: { search: true } },
  blobStore: { type: 'local', storePath: join(work, 'blobs') },
})
await fill(storage)
await storage.sessions.get('oslo')
await storage.sessions.get('oslo')
const studio = await startStudio(storage, { write: true })
const browser = await chromium.launch({ executablePath: chromiumBinary(), args: ['--no-sandbox', '--disable-gpu'] })
for (const [theme, width] of [
  ['light', 1280],
  ['dark', 1280],
  ['light', 390],
  ['dark', 390],
] as const) {
  const context = await browser.newContext({
    colorScheme: theme,
    viewport: { width, height: width === 390 ? 844 : 800 },
  })
  const page = await context.newPage()
  await page.goto(studio.url)
  for (const [name, address] of Object.entries(PAGES)) {
    if (only !== undefined && name !== only) continue
    await page.goto(new URL(address, studio.url).href)
    await page.locator('h1').waitFor()
    await page.waitForTimeout(700)
    await page.screenshot({ path: join(directory, `${name}-${theme}-${width}.png`), fullPage: width === 390 })
  }
  await context.close()
}
if (only === undefined) {
  for (const theme of ['light', 'dark']) await drawSheet(theme)
}
await browser.close()
await studio.close()
await storage.close()
rmSync(work, { recursive: true, force: true })

/** Draws all pages of a scheme, made small: the wide ones above the narrow ones. */
async function drawSheet(theme: string): Promise<void> {
  const image = (name: string, width: number, shown: number) => {
    const data = readFileSync(join(directory, `${name}-${theme}-${width}.png`)).toString('base64')
    return `<figure style="width:${shown}px"><img src="data:image/png;base64,${data}"><figcaption>${name}</figcaption></figure>`
  }
  const names = Object.keys(PAGES)
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  await page.setContent(`<style>
    body { margin: 0; padding: 8px; background: #888; font: 11px sans-serif; color: white }
    div { display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 8px }
    figure { margin: 0 } img { width: 100%; max-height: 260px; object-fit: cover; object-position: top; display: block }
  </style>
  <div>${names.map((name) => image(name, 1280, 310)).join('')}</div>
  <div>${names.map((name) => image(name, 390, 107)).join('')}</div>`)
  await page.screenshot({ path: join(directory, `sheet-${theme}.png`), fullPage: true })
  await page.close()
}
