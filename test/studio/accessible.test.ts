import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { browserOfFile } from './browser.ts'
import { fill } from './filled.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PAGES = [
  '#/',
  '#/sessions',
  '#/session?id=oslo',
  '#/search?q=oslo',
  '#/memories',
  '#/events',
  '#/queues',
  '#/approvals?status=all',
  '#/executions',
  '#/blobs',
  '#/configuration',
  '#/nothing',
  '#/session?id=gone',
]

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer

beforeAll(async () => {
  storage = await openStorage({ database: { type: 'in-memory', options: { search: true } } }, quiet)
  await fill(storage)
  studio = await startStudio(storage, { write: true })
})
afterAll(async () => {
  await studio.close()
  await storage.close()
})

it.each([
  ['light', 1280],
  ['dark', 390],
] as const)('axe finds nothing serious on any page: %s, %i wide', async (colorScheme, width) => {
  const page = await browser.open(studio.url, { colorScheme, viewport: { width, height: 900 } })
  await page.evaluate(axe)
  for (const address of PAGES) {
    await page.evaluate(`location.hash = ${JSON.stringify(address)}`)
    await page.waitForTimeout(100)
    await page.locator('main [aria-busy]').waitFor({ state: 'detached' })
    await page.evaluate(`for (const details of document.querySelectorAll('main details')) details.open = true`)
    const violations =
      await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 3).map(({ html }) => html) })))`)
    expect({ address, violations }).toEqual({ address, violations: [] })
  }
})

it('axe finds what is serious', async () => {
  const page = await browser.open('about:blank')
  await page.setContent('<html><body><button></button><img src="data:,"></body></html>')
  await page.evaluate(axe)
  const ids = await page.evaluate(`axe.run().then(({ violations }) => violations.map(({ id }) => id))`)
  expect(ids).toEqual(expect.arrayContaining(['button-name', 'image-alt']))
})
