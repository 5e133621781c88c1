import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Database from 'better-sqlite3'
import type { Storage } from 'holdfast'
import type { StudioServer } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { builtPackage } from '../setup/built-package.ts'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile } from './browser.ts'

const SESSIONS = rounds(1000, 100_000)
const EACH = 9
const LONG = rounds(1000, 100_000)
const NODES = 500
/** The machine of the suite is busy with other files. */
const FIRST_PAGE_MILLIS = rounds(5000, 300)

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer

/** Writes with SQL what would take minutes by appends. Every 90th session has a rare word, every third an owner. */
function fill(path: string): void {
  const db = new Database(path)
  const now = Date.now()
  const sessionColumns =
    'id, owner_id, title, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at'
  const messageColumns = 'session_id, owner_id, seq, id, role, content, metadata, created_at'
  const numbers = (most: number) => `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${most})`
  db.exec(`
    begin;
    ${numbers(SESSIONS)} insert into sessions (${sessionColumns})
      select 'session-' || i, case when i % 3 = 0 then 'owner-' || (i % 50) else '' end, 'Conversation ' || i, '{}', 1,
        ${now} - i * 20000, ${now} - i * 20000, ${EACH}, ${EACH}, ${now} - i * 20000 from n;
    ${numbers(EACH)} insert into messages (${messageColumns})
      select s.id, s.owner_id, n.i, 'm' || n.i, 'user', '"Message ' || n.i || ' of ' || s.id ||
        ' says something about the journey to the north, and then a little more about it."', '{}', s.created_at
      from sessions s, n;
    insert into sessions (${sessionColumns})
      values ('long', '', 'A long conversation', '{}', 1, ${now}, ${now}, ${LONG}, ${LONG}, ${now});
    ${numbers(LONG)} insert into messages (${messageColumns})
      select 'long', '', i, 'm' || i, case when i % 2 then 'user' else 'assistant' end,
        '"Message ' || i || ' of the long conversation"', '{}', ${now} - (${LONG} - i) * 20000 from n;
    commit`)
  db.close()
}

beforeAll(async () => {
  // As published: the page is one script there. The casts name the entries that these files are built from.
  const built = pathToFileURL(`${await builtPackage()}/`)
  const { openStorage } = (await import(new URL('index.js', built).href)) as typeof import('holdfast')
  const { startStudio } = (await import(new URL('studio/index.js', built).href)) as typeof import('holdfast/studio')
  const path = join(freshDirectory(), 'agent.db')
  const database = { type: 'sqlite', path, options: { search: true } } as const
  await (await openStorage({ database }, quiet)).close()
  fill(path)
  storage = await openStorage({ database }, quiet)
  await storage.rebuildSearch()
  await storage.messages.append('session-30', { role: 'user', content: 'A zeppelin, please.' })
  studio = await startStudio(storage)
  page = await browser.open(studio.url)
  await page.locator('h1').waitFor()
  await page.addInitScript(NOTE_ROWS)
}, 600_000)
afterAll(async () => {
  await studio.close()
  await storage.close()
})

let page: Page

/** Opens an address anew, and returns how long the browser took from the start of the navigation until the rows were shown. */
async function timed(address: string, rows: string): Promise<number> {
  await page.evaluate(
    `location.hash = ${JSON.stringify(address)}; sessionStorage.setItem('rows', ${JSON.stringify(rows)})`,
  )
  await page.reload()
  await page.locator(rows).first().waitFor()
  let shownAt: unknown
  const isNoted = async () => {
    shownAt = await page.evaluate('globalThis.shownAt') // the rows may be there a frame before that is noted
    return typeof shownAt
  }
  await expect.poll(isNoted).toBe('number')
  return Number(shownAt)
}

/** Runs in the page before its own scripts: notes when the rows are there. */
const NOTE_ROWS = `
  const look = () => {
    if (document.querySelector(sessionStorage.getItem('rows') ?? 'none')) globalThis.shownAt = performance.now()
    else requestAnimationFrame(look)
  }
  look()`

const nodes = (page: Page): Promise<number> => page.evaluate(`document.querySelectorAll('*').length`)

it(`a page shows its rows at once, with ${SESSIONS * EACH + LONG} messages stored`, async () => {
  const fastest: number[] = []
  for (const [address, rows] of [
    ['#/', '.rows .title'],
    ['#/sessions', '.rows .title'],
    ['#/session?id=long', '.message'],
  ] as const) {
    const times: number[] = []
    for (let i = 0; i < rounds(1, 7); i++) times.push(await timed(address, rows))
    console.log(`${address}: ${times.map(Math.round).join(', ')} ms from the start of the navigation to the first row`)
    fastest.push(Math.min(...times))
  }
  expect(Math.max(...fastest)).toBeLessThan(FIRST_PAGE_MILLIS)
})

it(`the overview counts ${SESSIONS * EACH + LONG} messages by their day, while its other parts are shown`, async () => {
  await timed('#/', '.rows .title')
  const count = page.getByRole('button', { name: 'Count on' })
  const plotted = page.locator('svg rect.mark').first()
  await plotted.waitFor({ state: 'attached', timeout: 60_000 })
  if (await count.isVisible()) await count.click()
  await count.waitFor({ state: 'detached', timeout: 60_000 })
  await page.getByText('Show as a table').first().click()
  const cells = await page.locator('.plot').first().locator('tbody td').allInnerTexts()
  const sum = cells.reduce((total, cell) => total + Number(cell.replace(/\D/g, '')), 0)
  expect(sum).toBe(SESSIONS * EACH + LONG + 1)
})

it(`${SESSIONS} sessions are listed, filtered by owner and paged, in at most ${NODES} elements`, async () => {
  await timed('#/sessions', '.rows .title')
  const titles = () => page.locator('.rows .title').allInnerTexts()
  let most = await nodes(page)
  const seen = new Set(await titles())
  for (let turn = 2; turn <= 8; turn++) {
    await page.getByRole('button', { name: 'Next' }).click()
    await page.getByText(`Page ${turn}`).waitFor()
    most = Math.max(most, await nodes(page))
    for (const title of await titles()) seen.add(title)
  }
  expect({ seen: seen.size, most: most <= NODES }).toEqual({ seen: 240, most: true })
  await page.getByLabel('Owner').fill('owner-7')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText('Conversation 57', { exact: true }).waitFor()
  const own = (await titles()).map((title) => Number(title.replace(/\D/g, '')))
  expect(own.filter((i) => i % 3 !== 0 || i % 50 !== 7)).toEqual([])
  await page.evaluate(`sessionStorage.removeItem('owner')`)
})

it('a word of one message in all is found, and leads to it', async () => {
  await timed('#/search?q=zeppelin', '.rows mark')
  expect(await page.locator('.rows > li').count()).toBe(1)
  await page.locator('.rows a', { hasText: /^session-30$/ }).click()
  await page.locator('.message.found').waitFor()
  await page.evaluate(`location.hash = '#/search?q=journey'`)
  await page.locator('.rows mark').nth(29).waitFor()
  await page.getByRole('button', { name: 'Next' }).click()
  await page.getByText('Page 2').waitFor()
  expect(await nodes(page)).toBeLessThanOrEqual(NODES)
})
