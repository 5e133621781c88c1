import { join } from 'node:path'
import Database from 'better-sqlite3'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile } from './browser.ts'

const MESSAGES = 100_000
/** How many messages are scrolled past from end to end: each page of 20 takes a read and a frame. */
const SCROLLED = rounds(600, 100_000)
const NODES = 500
/** When scrolling that changes nothing is given up. */
const STUCK_MILLIS = 30_000

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer

/** Writes with SQL what would take long by appends. */
function fill(path: string, id: string, count: number): void {
  const db = new Database(path)
  const now = Date.now()
  db.exec(`
    begin;
    insert into sessions (id, owner_id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
      values ('${id}', '', '{}', 1, ${now}, ${now}, ${count}, ${count}, ${now});
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
      insert into messages (session_id, owner_id, seq, id, role, content, metadata, created_at)
      select '${id}', '', i, 'm' || i, case when i % 2 then 'user' else 'assistant' end,
        '"Message ' || i || ': ' || substr('${'words and '.repeat(40)}', 1, 20 + (i * 37) % 380) || '"', '{}', ${now} from n;
    commit`)
  db.close()
}

beforeAll(async () => {
  const path = join(freshDirectory(), 'agent.db')
  storage = await openStorage({ database: { type: 'sqlite', path } }, quiet)
  fill(path, 'long', MESSAGES)
  fill(path, 'scrolled', SCROLLED)
  studio = await startStudio(storage)
})
afterAll(async () => {
  await studio.close()
  await storage.close()
})

let page: Page | undefined

/** Goes to an address in the page that the tests share. */
async function opened(address: string): Promise<Page> {
  const heading = await page?.locator('h1').elementHandle()
  page ??= await browser.open(studio.url)
  await page.locator('h1').waitFor()
  await page.evaluate(`location.hash = ${JSON.stringify(address)}`)
  await heading?.waitForElementState('hidden')
  await page.locator('.message').first().waitFor()
  return page
}

interface Shown {
  elements: number
  seqs: number[]
  /** True if a message is on the screen. */
  isFilled: boolean
}

const shown = (page: Page): Promise<Shown> =>
  page.evaluate(`(() => {
    const rows = [...document.querySelectorAll('.message')]
    return {
      elements: document.querySelectorAll('*').length,
      seqs: rows.map((row) => Number(row.dataset.seq)),
      isFilled: rows.some((row) => row.getBoundingClientRect().top < innerHeight && row.getBoundingClientRect().bottom > 0),
    }
  })()`)

const isWhole = (seqs: readonly number[]) => seqs.every((seq, i) => i === 0 || seq === (seqs[i - 1] ?? 0) + 1)

/** Scrolls in the page, frame by frame, until a message is reached. Returns the most elements, and how often seqs had a gap. */
const SCROLL = (distance: number, goal: number) => `(async () => {
  let [most, gaps, empty, changed] = [0, 0, 0, performance.now()]
  for (let before = ''; performance.now() - changed < ${STUCK_MILLIS}; ) {
    scrollBy(0, ${distance})
    await new Promise((done) => {
      requestAnimationFrame(done)
      setTimeout(done, 1000) // a browser that draws nothing must end the test, too
    })
    const rows = [...document.querySelectorAll('.message')]
    const seqs = rows.map((row) => Number(row.dataset.seq))
    most = Math.max(most, document.querySelectorAll('*').length)
    if (seqs.some((seq, i) => i > 0 && seq !== seqs[i - 1] + 1)) gaps++
    const onScreen = ({ top, bottom }) => top < innerHeight && bottom > 0
    if (!rows.some((row) => onScreen(row.getBoundingClientRect()))) empty++
    if (seqs.at(${distance > 0 ? -1 : 0}) === ${goal}) return { most, gaps, empty, reached: ${goal} }
    const now = seqs.join() + scrollY
    if (now !== before) changed = performance.now()
    before = now
  }
  return { most, gaps, empty, reached: document.querySelector('.message')?.dataset.seq }
})()`

it(`a conversation of ${SCROLLED} messages is scrolled to its end and back in at most ${NODES} elements, without a gap`, async () => {
  const page = await opened('#/session?id=scrolled')
  for (const [distance, goal] of [
    [2000, SCROLLED],
    [-2000, 1],
  ] as const) {
    const { most, ...state }: Record<string, number> = await page.evaluate(SCROLL(distance, goal))
    expect(state).toEqual({ gaps: 0, empty: 0, reached: goal })
    expect(most).toBeLessThanOrEqual(NODES)
  }
})

it('the wheel scrolls past what was read at first', async () => {
  const page = await opened('#/session?id=long')
  await page.mouse.move(700, 500)
  await expect
    .poll(async () => {
      await page.mouse.wheel(0, 900)
      return (await shown(page)).seqs.at(-1)
    })
    .toBeGreaterThan(60)
})

it('the first, the last and any message are one step away, wherever the reader is', async () => {
  const page = await opened('#/session?id=long&again')
  await page.getByRole('button', { name: 'Last' }).click()
  await expect.poll(async () => (await shown(page)).seqs.at(-1)).toBe(MESSAGES)
  await page.locator('.message', { hasText: `Message ${MESSAGES}:` }).waitFor()
  // At the top of the page it would move away as soon as somebody scrolls up to it: more messages come above.
  const places = page.getByRole('form', { name: 'Place in the conversation' })
  expect(await places.evaluate((form) => form.getBoundingClientRect().top)).toBeGreaterThanOrEqual(0)
  await page.getByLabel('Message number').fill('12345')
  await page.getByRole('button', { name: 'Go' }).click()
  await page.locator('.message', { hasText: 'Message 12345:' }).waitFor()
  await expect.poll(() => page.evaluate('document.activeElement.dataset.seq')).toBe('12345')
  await expect.poll(async () => ((await shown(page)).seqs[0] ?? 0) < 12_345).toBe(true) // what is before it comes too
  expect(isWhole((await shown(page)).seqs)).toBe(true)
  await page.getByRole('button', { name: 'First' }).click()
  await expect.poll(async () => (await shown(page)).seqs[0]).toBe(1)
  expect((await shown(page)).elements).toBeLessThanOrEqual(NODES)
})

it('a message far away is found by its address, with what is before and after it', async () => {
  const page = await opened('#/session?id=long&message=m10000')
  await page.locator('.message.found').waitFor()
  const { seqs, elements, isFilled } = await shown(page)
  expect({ isFilled, before: seqs.includes(9995), after: seqs.includes(10_005) }).toEqual({
    isFilled: true,
    before: true,
    after: true,
  })
  expect(elements).toBeLessThanOrEqual(NODES)
})

it('the first page reads no more than it shows, however long the conversation is', async () => {
  const { origin, hash } = new URL(studio.url)
  const headers = { authorization: `Bearer ${hash.replace('#token=', '')}` }
  await storage.messages.append('short', { role: 'user', content: 'Hello' })
  const page = await browser.open(studio.url)
  const bytes = new Map<string, number>()
  page.on('response', (response) => {
    const { pathname } = new URL(response.url())
    const note = (body: Buffer) => bytes.set(pathname, body.length)
    if (pathname.startsWith('/api/')) response.body().then(note, () => {}) // what the page has left has no body
  })
  await page.evaluate(`location.hash = '#/session?id=long'`)
  await page.locator('.message').nth(19).waitFor()
  await expect
    .poll(() => [...bytes.keys()].toSorted())
    .toEqual(expect.arrayContaining(['/api/messages', '/api/session']))
  expect(Math.max(...bytes.values())).toBeLessThan(20_000)
  // The cost of a place far inside is that of the first: compared with each other, since the machine may be busy.
  const fastest = async (after: number) => {
    const times: number[] = []
    for (let i = 0; i < 7; i++) {
      const begun = performance.now()
      await (await fetch(`${origin}/api/messages?session=long&limit=20&after=${after}`, { headers })).arrayBuffer()
      times.push(performance.now() - begun)
    }
    return Math.min(...times)
  }
  expect(await fastest(MESSAGES - 100)).toBeLessThan(10 * (await fastest(0)))
})

it('a message of 1 MB is cut, and shown whole when somebody asks for it', async () => {
  await storage.messages.append('large', { role: 'user', content: 'words and '.repeat(100_000) })
  const shared = await opened('#/session?id=large')
  const text = () => shared.evaluate(`document.querySelector('.message .text').textContent.length`)
  expect(await text()).toBeLessThan(5000)
  await shared.getByRole('button', { name: /^Show the whole message \(1,000,\d{3} characters\)$/ }).click()
  await expect.poll(text).toBe(1_000_000)
})
