import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { browserOfFile, settled, visit } from './browser.ts'
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

it.each([1280, 390])('axe finds nothing serious on any page, in light and dark, %i wide', async (width) => {
  const page = await browser.open(studio.url, { viewport: { width, height: 900 } })
  await page.evaluate(axe)
  for (const address of PAGES) {
    await go(page, address)
    await page.evaluate(`for (const details of document.querySelectorAll('main details')) details.open = true`)
    await settled(page)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      const violations =
        await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
          .filter(({ impact }) => impact === 'serious' || impact === 'critical')
          .map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 3).map(({ html }) => html) })))`)
      expect({ address, colorScheme, violations }).toEqual({ address, colorScheme, violations: [] })
    }
  }
})

/** Goes to an address, and waits until its page is there. */
async function go(page: Page, address: string): Promise<void> {
  await visit(page, address)
  await settled(page)
}

it('axe finds what is serious', async () => {
  const page = await browser.open('about:blank')
  await page.setContent('<html><body><button></button><img src="data:,"></body></html>')
  await page.evaluate(axe)
  const ids = await page.evaluate(`axe.run().then(({ violations }) => violations.map(({ id }) => id))`)
  expect(ids).toEqual(expect.arrayContaining(['button-name', 'image-alt']))
})

/** What has the focus, whether the focus is seen, and whether the element is. */
const FOCUSED = `(() => {
  const element = document.activeElement
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  const { top, bottom, width, height } = element.getBoundingClientRect()
  const label = element.labels?.[0]?.textContent ?? element.textContent
  return {
    text: label.trim(),
    isOutlined: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    isOnScreen: bottom > 0 && top < innerHeight && width > 0 && height > 0,
  }
})()`

interface Focused {
  text: string
  isOutlined: boolean
  isOnScreen: boolean
}

/** Presses a key until an element with this text has the focus. The focus must be seen all the way. */
async function reach(page: Page, text: RegExp, key = 'Tab'): Promise<void> {
  for (let presses = 0; presses < 120; presses++) {
    await page.keyboard.press(key)
    const focused: Focused = await page.evaluate(FOCUSED)
    expect(focused).toMatchObject({ isOutlined: true, isOnScreen: true })
    if (text.test(focused.text)) return
  }
  throw new Error(`${key} does not reach ${text}`)
}

const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true }).waitFor()

it('the keyboard alone goes from a fresh page to a conversation, unfolds a tool call and answers an approval', async () => {
  const page = await browser.open(studio.url, { viewport: { width: 1280, height: 900 } })
  await heading(page, 'Overview')
  await reach(page, /^Skip to the content$/)
  await page.keyboard.press('Enter')
  expect(await page.evaluate('document.activeElement.id')).toBe('main')
  await heading(page, 'Overview')
  await reach(page, /^Sessions$/, 'Shift+Tab')
  await page.keyboard.press('Enter')
  await heading(page, 'Sessions')
  expect(await page.evaluate('document.activeElement.id')).toBe('main')
  await settled(page)
  await reach(page, /^Order/)
  await page.keyboard.press('ArrowDown')
  await expect.poll(() => page.url()).toContain('orderBy=createdAt')
  // The address changes before the page does, which then takes the focus from the list.
  await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('main')
  await settled(page)
  await reach(page, /^Trip to Oslo in spring$/)
  await page.keyboard.press('Enter')
  await page.locator('.message').nth(5).waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  expect(await page.evaluate('document.activeElement.dataset.seq')).toBe('2')
  await page.keyboard.press('k')
  expect(await page.evaluate('document.activeElement.dataset.seq')).toBe('1')
  await reach(page, /^tool-call: find_trains$/)
  await page.keyboard.press('Enter')
  await page.getByText('"before": "12:00"').waitFor()
  await reach(page, /^Approvals$/, 'Shift+Tab')
  await page.keyboard.press('Enter')
  await heading(page, 'Approvals')
  await settled(page)
  await reach(page, /^Approve$/)
  await page.keyboard.press('Enter')
  await page.locator('.badge', { hasText: /^approved$/ }).waitFor()
  expect(await page.evaluate(FOCUSED)).toMatchObject({ text: /^approvedanswered/, isOutlined: true, isOnScreen: true })
  expect((await storage.approvals.get('book'))?.response?.decision).toBe('approved')
  await page.keyboard.press('Tab') // the focus goes on from there
  expect(await page.evaluate('document.activeElement !== document.body')).toBe(true)
})

it('the keyboard alone searches, pages through a list, follows events and answers with a word', async () => {
  await storage.approvals.request({ id: 'later', type: 'tool', request: { tool: 'book_hotel' } })
  const many = storage.scope({ ownerId: 'grace' })
  for (let i = 0; i < 31; i++) await many.sessions.create({ id: `many-${i}` })
  const page = await browser.open(studio.url, { viewport: { width: 1280, height: 900 } })
  await heading(page, 'Overview')
  await reach(page, /^Search$/)
  await page.keyboard.press('Enter')
  await heading(page, 'Search')
  await page.keyboard.press('/')
  await page.keyboard.type('timetable')
  await page.keyboard.press('Enter')
  await page.locator('mark').first().waitFor()
  await settled(page)
  await reach(page, /^oslo$/)
  await page.keyboard.press('Enter')
  await page.locator('.message.found').waitFor()
  await go(page, '#/sessions')
  await reach(page, /^Next$/)
  await page.keyboard.press('Enter')
  await page.getByText('Page 2').waitFor()
  await settled(page)
  expect(await page.evaluate(FOCUSED)).toMatchObject({ text: 'Previous' })
  await go(page, '#/events')
  await reach(page, /^Follow$/)
  await page.keyboard.press('Space')
  await page.getByText('New events are not shown.').waitFor()
  await go(page, '#/approvals')
  await reach(page, /^or$/)
  await page.keyboard.type('tomorrow')
  await page.keyboard.press('Enter')
  await page.locator('.badge', { hasText: /^tomorrow$/ }).waitFor()
  expect((await storage.approvals.get('later'))?.response?.decision).toBe('tomorrow')
})
