import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile } from './browser.ts'
import { fill } from './filled.ts'

const browser = browserOfFile()
let storage: Storage
let reading: StudioServer
let writing: StudioServer

beforeAll(async () => {
  const database = { type: 'sqlite', path: join(freshDirectory(), 'agent.db'), options: { search: true } } as const
  storage = await openStorage({ database }, quiet)
  await fill(storage)
  reading = await startStudio(storage)
  writing = await startStudio(storage, { write: true })
})
afterAll(async () => {
  await reading.close()
  await writing.close()
  await storage.close()
})

const pages = new Map<StudioServer, Page>()

/** Goes to an address in a page that the tests share, or with options in a page of its own. */
async function opened(address: string, options: Parameters<typeof browser.open>[1] & { studio?: StudioServer } = {}) {
  const { studio = reading, ...others } = options
  const shared = Object.keys(others).length === 0 ? pages.get(studio) : undefined
  const page = shared ?? (await browser.open(studio.url, others))
  if (Object.keys(others).length === 0) pages.set(studio, page)
  if (shared === undefined) await page.locator('h1').waitFor()
  if (shared !== undefined || address !== '#/') await go(page, address)
  return page
}

let visits = 0

/** Goes to an address, also if it is the one that is shown. */
async function go(page: Page, address: string): Promise<void> {
  const heading = await page.locator('h1').elementHandle()
  await page.evaluate(
    `location.hash = ${JSON.stringify(`${address}${address.includes('?') ? '&' : '?'}again=${visits++}`)}`,
  )
  await heading?.waitForElementState('hidden')
  await page.locator('h1').waitFor()
}

const titles = (page: Page) => page.locator('.rows .title').allInnerTexts()

it('the token leaves the address bar, stays in the tab, and a tab without it is told what to do', async () => {
  const page = await browser.open(reading.url)
  await page.locator('h1').waitFor()
  expect(page.url()).not.toContain('token')
  expect(await page.evaluate('sessionStorage.getItem("token").length')).toBe(43)
  await page.reload()
  expect(await page.locator('h1').innerText()).toBe('Overview')
  const stranger = await browser.open(new URL('/', reading.url).href)
  await stranger.getByText('This needs the link that Studio printed').waitFor()
})

it('the overview has health, sizes with units, and a plot with a table', async () => {
  const page = await opened('#/')
  await page.getByRole('heading', { name: 'Size' }).waitFor()
  await page.getByText(/^SQLite \d/).waitFor()
  await page.getByText(/sqlite, [\d.]+ m?s/).waitFor()
  await page.getByText('Show as a table').first().click()
  const last = page.locator('.plot tbody tr').last()
  expect(await last.innerText()).toMatch(/^\d{4}-\d\d-\d\d\s+123 messages$/)
  expect(await page.locator('svg rect.mark').count()).toBe(30)
})

it('sessions are listed a page at a time, and by owner', async () => {
  const page = await opened('#/sessions')
  await expect.poll(() => titles(page)).toHaveLength(11)
  await page.getByLabel('Owner').fill('nobody')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText('This owner has no sessions.').waitFor()
  await page.getByLabel('Owner').fill('ada')
  await page.getByRole('button', { name: 'Filter' }).click()
  await expect.poll(() => titles(page)).toHaveLength(11)
  const many = storage.scope({ ownerId: 'grace' })
  for (let i = 0; i < 65; i++) await many.sessions.create({ id: `many-${i}` })
  await page.getByLabel('Owner').fill('grace')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText('Page 1').waitFor()
  const first = await titles(page)
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('Page 2').waitFor()
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('Page 3').waitFor()
  expect(await titles(page)).toHaveLength(5)
  expect(await page.getByRole('button', { name: 'Next' }).isDisabled()).toBe(true)
  await page.getByRole('button', { name: 'Previous' }).click()
  await page.getByText('Page 2').waitFor()
  await page.getByRole('button', { name: 'Previous' }).click()
  await page.getByText('Page 1').waitFor()
  expect(await titles(page)).toEqual(first)
  await page.evaluate(`sessionStorage.removeItem('owner')`)
})

it('a list turns one page at a time, however fast its buttons are clicked', async () => {
  await using many = await openStorage({}, quiet)
  for (let i = 0; i < 70; i++) await many.memories.create({ content: `Memory ${i}` })
  await using studio = await startStudio(many)
  const page = await opened('#/memories', { studio })
  await page.getByText('Page 1').waitFor()
  await page.route('**/api/memories?*', async (route) => {
    await sleep(300)
    await route.continue()
  })
  const next = page.getByRole('button', { name: 'Next' })
  await next.dblclick()
  await page.getByText(/^Page [23]$/).waitFor()
  await sleep(700)
  expect(await page.locator('.pages span').innerText()).toBe('Page 2')
  await next.click()
  await page.getByText('Page 3').waitFor()
  expect(await page.locator('.rows > li').count()).toBe(10)
})

it('a conversation folds tools, shows images, copies ids, and has each message as JSON', async () => {
  const page = await opened('#/session?id=oslo', { permissions: ['clipboard-read', 'clipboard-write'] })
  await page.locator('.message').nth(5).waitFor()
  const call = page.getByText('tool-call: find_trains')
  await call.waitFor()
  expect(await page.getByText('"toolCallId": "c1"').first().isVisible()).toBe(false)
  await call.click()
  expect(await page.getByText('"before": "12:00"').isVisible()).toBe(true)
  await page.locator('.message img').waitFor()
  const second = page.locator('.message').nth(1)
  await second.getByRole('button', { name: 'JSON' }).click()
  expect(JSON.parse(await second.locator('pre').innerText())).toMatchObject({ id: 'm2', role: 'user', seq: 2 })
  await second.getByRole('button', { name: 'JSON' }).click()
  expect(await second.locator('pre').count()).toBe(0)
  await second.getByRole('button', { name: 'Copy id' }).click()
  await page.getByRole('button', { name: 'Copied' }).waitFor()
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe('m2')
})

it('forks are a tree, from which each session is reached', async () => {
  const page = await opened('#/session?id=oslo')
  await page.getByText('Forks', { exact: true }).click()
  await page.locator('.tree a').nth(2).waitFor()
  const tree = page.locator('.tree').first()
  expect(await tree.locator(':scope > li > strong').innerText()).toBe('Trip to Oslo in spring')
  expect(await tree.locator('.tree .tree a').innerText()).toBe('Trip to Oslo, by night bus')
  await tree.locator('.tree .tree a').click()
  await page.getByRole('heading', { name: 'Trip to Oslo, by night bus' }).waitFor()
  await page.locator('.tree strong').waitFor()
})

it('a search leads to the message that was found', async () => {
  const page = await opened('#/search')
  await page.getByRole('searchbox').fill('timetable')
  await page.getByLabel('order').selectOption('relevance')
  await page.getByRole('searchbox').press('Enter')
  await page.locator('mark').first().waitFor()
  expect(await page.locator('mark').first().innerText()).toBe('timetable')
  await page.locator('.rows a', { hasText: /^oslo$/ }).click()
  await page.locator('.message.found').waitFor()
  expect(await page.locator('.message.found').getAttribute('data-id')).toBe('m3')
  expect(await page.evaluate(`document.activeElement.dataset.id`)).toBe('m3')
  await go(page, '#/search?q=nothingatall')
  await page.getByText('Nothing was found.').waitFor()
})

it('without the search switched on there is no search, and the page says how to switch it on', async () => {
  await using plain = await openStorage({}, quiet)
  await using studio = await startStudio(plain)
  const page = await opened('#/sessions', { studio })
  await page.getByText('There are no sessions yet.').waitFor()
  expect(await page.getByRole('searchbox').count()).toBe(0)
  expect(await page.getByRole('link', { name: 'Search', exact: true }).count()).toBe(0)
  await go(page, '#/search?q=x')
  await page.getByText('database.options.search').waitFor()
})

it('events appear as they come, each once, until following is switched off', async () => {
  const page = await opened('#/events')
  await page.getByText('approval.asked').waitFor()
  const types = () => page.locator('.rows strong').allInnerTexts()
  expect(await types()).toEqual(['approval.asked', 'tool.answered', 'tool.called', 'run.started'])
  await storage.events.append([{ type: 'first.new', payload: { n: 1 } }, { type: 'second.new' }])
  await page.getByText('second.new').waitFor()
  await storage.events.append({ type: 'third.new' })
  await page.getByText('third.new').waitFor()
  expect((await types()).slice(0, 4)).toEqual(['third.new', 'second.new', 'first.new', 'approval.asked'])
  await page.getByLabel('Follow').uncheck()
  await page.getByText('New events are not shown.').waitFor()
  await storage.events.append({ type: 'unseen.new' })
  await page.getByLabel('Follow').check()
  await page.getByText('unseen.new').waitFor()
  expect(new Set(await types()).size).toBe((await types()).length)
})

it('queues show their items, and executions their input, outcome and time', async () => {
  const page = await opened('#/queues')
  await page.getByText('2 items').click()
  await page.getByText('A window seat, please.').waitFor()
  await go(page, '#/executions')
  await page.getByLabel('Show').selectOption('failed')
  await page.getByText('The server did not answer within 10 s').waitFor()
  expect(await titles(page)).toEqual(['find_hotels'])
  await page.getByText(/^took [\d.]+ m?s$/).waitFor()
  await go(page, '#/memories?tag=travel')
  await page.getByText('Prefers trains to planes.').waitFor()
  expect(await page.locator('.rows > li').count()).toBe(1)
})

it('an approval can be read without write, and answered with it', async () => {
  const page = await opened('#/approvals')
  await page.getByText('"price": "EUR 89"').waitFor()
  await page.getByText('Studio was started without --write').waitFor()
  expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0)
  const other = await opened('#/approvals', { studio: writing })
  await other.getByRole('button', { name: 'Approve' }).click()
  await other.locator('.badge', { hasText: 'approved' }).waitFor()
  expect((await storage.approvals.get('book'))?.response?.decision).toBe('approved')
})

it('what is cut says so, and is shown whole: also the request that somebody is about to approve', async () => {
  const large = { text: `${'x'.repeat(20_000)} and the end of it` }
  await storage.approvals.request({ id: 'large', type: 'large', request: large })
  await storage.memories.create({ content: 'Much is known.', metadata: large })
  await storage.queues.push('large', 'inbox', { id: 'large', payload: large })
  await storage.blobs.put(Buffer.from('x'), { metadata: large })
  const identity = { runId: 'large', turnId: 't', modelStepId: 's', toolCallId: 'c' }
  await storage.toolExecutions.start({ identity, toolName: 'large', input: large })
  await storage.events.append({ type: 'large', payload: large })
  const page = await opened('#/approvals', { studio: writing })
  for (const address of [
    '#/approvals',
    '#/memories',
    '#/queues?session=large',
    '#/blobs',
    '#/executions?run=large',
    '#/events',
    '#/events?type=large',
  ]) {
    await go(page, address)
    if (address.startsWith('#/queues')) await page.getByText('1 item').click()
    const note = page.getByText(/^Only a part is shown: the whole has 20,\d\d\d characters/)
    await note.waitFor()
    expect(await page.locator('main').innerText()).not.toContain('and the end of it')
    await page.getByRole('button', { name: 'Show the whole' }).click()
    await page.locator('.cut').getByText('and the end of it').waitFor()
  }
})

it('an event that was cut is shown whole, wherever it stands and whenever it came', async () => {
  const payload = (n: number) => ({ text: `${'z'.repeat(20_000)} and the end of ${n}` })
  const events = (from: number, through: number) =>
    Array.from({ length: through - from + 1 }, (_, i) => ({ type: 'cut', payload: payload(from + i) }))
  await storage.events.append(events(1, 50))
  const page = await opened('#/events?type=cut')
  await expect.poll(() => page.locator('.rows > li').count()).toBe(40)
  const came = await storage.events.append(events(51, 53))
  const row = (n: number) => page.locator('.rows > li').nth(53 - n)
  await page.locator('.rows > li:first-child', { hasText: `#${came.at(-1)?.seq}` }).waitFor()
  for (const n of [53, 51, 50, 14]) {
    await row(n).getByRole('button', { name: 'Show the whole' }).click()
    await row(n).locator('.cut').getByText(`and the end of ${n}`).waitFor()
  }
  const gone = { headers: { authorization: `Bearer ${new URL(reading.url).hash.replace('#token=', '')}` } }
  expect((await fetch(new URL('/api/event?seq=9999', reading.url), gone)).status).toBe(404)
})

it('what cannot be read whole says why, and can be tried again', async () => {
  const content = `${'y'.repeat(20_000)} and the end of it`
  await storage.messages.append('cut', { id: 'm', role: 'user', content })
  const page = await opened('#/session?id=cut')
  const answer = JSON.stringify({ error: { code: 'TIMEOUT', message: 'It took too long' } })
  await page.route('**/api/message?*', (route) => route.fulfill({ status: 503, body: answer }))
  await page.getByRole('button', { name: /^Show the whole message/ }).click()
  await page.getByText('It took too long').waitFor()
  await page.unroute('**/api/message?*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('and the end of it').waitFor()
})

it('the configuration is shown with units', async () => {
  const page = await opened('#/configuration')
  expect(await page.locator('dl').first().innerText()).toContain('maxBytes')
  await page.getByText('5.0 s').waitFor()
})

it('on a narrow screen the pages are behind a menu, and nothing is wider than the screen', async () => {
  const page = await opened('#/sessions', { viewport: { width: 390, height: 844 } })
  const link = page.getByRole('link', { name: 'Blobs', exact: true })
  expect(await link.isVisible()).toBe(false)
  await page.getByRole('button', { name: 'Menu' }).click()
  await link.click()
  await page.getByRole('heading', { name: 'Blobs' }).waitFor()
  for (const address of [
    '#/',
    '#/session?id=oslo',
    '#/search?q=oslo',
    '#/approvals?status=all',
    '#/executions',
    '#/events',
    '#/configuration',
  ]) {
    await go(page, address)
    await page.waitForTimeout(50)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390)
  }
})

it('a page that does not exist, a session that is gone and a Studio that has ended say what to do', async () => {
  const page = await opened('#/nothing')
  await page.getByText('Studio has no such page.').waitFor()
  await page.evaluate(`location.hash = '#/session?id=gone'`)
  await page.getByText('This session does not exist').waitFor()
  const ending = await startStudio(storage)
  const left = await opened('#/', { studio: ending })
  await ending.close()
  await left.getByRole('link', { name: 'Memories', exact: true }).click()
  await left.getByText('Start it again: holdfast studio').waitFor()
})
