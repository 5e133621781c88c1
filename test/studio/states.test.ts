import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile, settled, visit } from './browser.ts'
import { fill } from './filled.ts'

/** Each page, with something that it shows when it has loaded. */
const PAGES = {
  '#/': 'Trip to Oslo in spring',
  '#/sessions': 'Trip to Oslo in spring',
  '#/session?id=oslo': 'I look at the timetable.',
  '#/search?q=timetable': 'timetable',
  '#/memories': 'Prefers trains to planes.',
  '#/events': 'approval.asked',
  '#/queues': 'followUp',
  '#/approvals': '"tool": "book_train"',
  '#/executions': 'book_train',
  '#/blobs': 'ticket.pdf',
  '#/configuration': 'in-memory',
}

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer
let page: Page

beforeAll(async () => {
  const path = join(freshDirectory(), 'agent.db')
  storage = await openStorage({ database: { type: 'sqlite', path, options: { search: true } } }, quiet)
  await fill(storage)
  studio = await startStudio(storage)
  page = await browser.open(studio.url)
  await page.locator('h1').waitFor()
})
afterAll(async () => {
  await studio.close()
  await storage.close()
})

const failures = () => page.locator('main .failure').count()

it('each page says that it loads while its answers are late, and shows them when they come', async () => {
  for (const [address, content] of Object.entries(PAGES)) {
    let release = () => {}
    const answer = new Promise<void>((resolve) => {
      release = resolve
    })
    await page.route('**/api/**', async (route) => {
      await answer
      await route.continue()
    })
    await visit(page, address)
    await page.locator('main').getByText('Loading…').first().waitFor()
    expect(await page.locator('main').innerText()).not.toContain(content)
    release()
    await page.locator('main').getByText(content).first().waitFor()
    await settled(page)
    expect(await failures()).toBe(0)
    await page.unroute('**/api/**')
  }
})

it('each page says what failed and offers another try, which shows its content', async () => {
  const body = JSON.stringify({ error: { code: 'TIMEOUT', message: 'The database did not answer within 10 s' } })
  for (const [address, content] of Object.entries(PAGES)) {
    await page.route('**/api/**', (route) => route.fulfill({ status: 504, body }))
    await visit(page, address)
    await page.locator('main .failure').first().waitFor()
    await settled(page)
    for (const text of await page.locator('main .failure').allInnerTexts()) {
      expect(text).toMatch(/^TIMEOUT The database did not answer within 10 s\s+Try again$/)
    }
    await page.unroute('**/api/**')
    for (let left = await failures(); left > 0; left--) {
      await page.getByRole('button', { name: 'Try again' }).first().click()
      await settled(page)
    }
    await page.locator('main').getByText(content).first().waitFor()
    expect(await failures()).toBe(0)
  }
})

it('the hit rate of the cache is shown with its reads, and over time in a plot with a table', async () => {
  await page.clock.install() // samples are taken every five seconds
  await visit(page, '#/')
  await settled(page)
  const section = page.locator('section', { has: page.getByRole('heading', { name: 'Cache' }) })
  const expected = async () => {
    const { hits, negativeHits, misses, bypasses } = (await storage.stats()).cache
    const answered = hits + negativeHits
    const reads = answered + misses + bypasses
    return reads === 0 ? ['No reads yet', '0 reads'] : [`${((answered / reads) * 100).toFixed(1)} %`, `${reads} reads`]
  }
  const [rate = '', reads = ''] = await expected()
  expect(await section.locator('.card').innerText()).toMatch(
    new RegExp(`^Hit rate\\s+${rate}\\s+${reads} of the process that serves Studio$`),
  )
  await storage.kv.set('k', 1)
  for (let i = 0; i < 5; i++) await Promise.all([storage.kv.get('k'), storage.kv.get('absent')])
  const [nextRate = '', nextReads = ''] = await expected()
  expect(nextRate).not.toBe(rate)
  await page.clock.runFor(5000)
  await section.locator('svg polyline').waitFor()
  expect(await section.locator('.card').innerText()).toContain(nextRate)
  await section.getByText('Show as a table').click()
  expect(await section.locator('thead th').allInnerTexts()).toEqual(['Time', 'Hit rate', 'Reads'])
  const row = (await section.locator('tbody tr').last().innerText()).trim()
  expect(row).toMatch(new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\s+${nextRate}\\s+${nextReads}$`))
})
