/** Draws the pages of Studio into a directory, in light and dark, wide and narrow: `npx tsx scripts/studio-screenshots.ts DIR [PAGE]`. */
import { mkdirSync, rmSync } from 'node:fs'
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
await browser.close()
await studio.close()
await storage.close()
rmSync(work, { recursive: true, force: true })
