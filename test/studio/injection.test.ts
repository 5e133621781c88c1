import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openStorage } from 'holdfast'
import { startStudio, studioHandler } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { expect, it, onTestFinished } from 'vitest'
import { serve } from '../../src/studio/node-bridge.ts'
import { quiet } from '../setup/silent.ts'
import { ATTACKS, EVERY, sessionIdOf, storeAttacks } from './attacks.ts'
import { browserOfFile, settled, visit } from './browser.ts'
import { png } from './filled.ts'

const browser = browserOfFile()

/** Names the JSON that is folded under a label. */
const folded = (label: string) => `folded ${label}`

/** A tag has at most 50 characters. */
const TAGS = 'a .badge'

/** The lists, each with the places that must show every attack. */
const LISTS: readonly [address: string, places: readonly string[]][] = [
  ['#/', []],
  ['#/sessions', ['.title', '.id']],
  ['#/search?q=word', ['.text', 'li .facts']],
  ['#/search?q=word&in=sessions', ['.title', '.text']],
  ['#/search?q=word&in=memories', ['.text']],
  ['#/memories', ['.text', TAGS, folded('Metadata')]],
  ['#/queues', ['.title', 'pre']],
  ['#/approvals', ['.title', folded('Request')]],
  ['#/approvals?status=responded', ['.title', '.badge', folded('Request'), folded('Data of the answer')]],
  [
    '#/executions',
    ['.title', ...['Input', 'Output', 'Error', 'Reason', 'Identity'].map(folded)], // the outcomes take turns
  ],
  ['#/blobs', ['.blob bdi', '.facts > span:nth-child(3) bdi', folded('SHA-256 and metadata')]],
  ['#/configuration', []],
]

/** The same in a conversation, for the attack that it holds. */
const CONVERSATION = [
  'h1',
  'header .id',
  folded('Metadata'),
  '.message:first-child strong',
  '.message:first-child .text',
  '.message:nth-child(2) summary',
  '.message:nth-child(3) summary',
  '.message:nth-child(3) details pre',
  '.message:nth-child(3) details:nth-child(2) summary',
  '.message:nth-child(3) details:nth-child(2) pre',
  '.message:nth-child(4) summary',
  '.message:nth-child(4) details pre',
  '.message:nth-child(5) details .text',
  '.message:nth-child(6) details .text',
  '.message:nth-child(6) .content > .text',
  '.message > pre',
  '.tree li li',
]

it('nothing that a model or a user has written runs, loads or is taken for markup, on any page', async () => {
  const storage = await openStorage({ database: { type: 'in-memory', options: { search: true } } }, quiet)
  onTestFinished(() => storage.close())
  await storeAttacks(storage)
  const studio = await startStudio(storage, { write: true })
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url)
  await page.locator('h1').waitFor()
  for (const [address, places] of LISTS) {
    await visit(page, address)
    const shown = places.map(() => '')
    for (;;) {
      await checked(page)
      for (const [n, text] of (await textsOf(page, places)).entries()) shown[n] += text
      if (!(await turned(page))) break
    }
    for (const [n, place] of places.entries()) {
      const text = shown[n] ?? ''
      const wanted = place === TAGS ? ATTACKS.map((attack) => attack.slice(0, 50)) : ATTACKS
      expect({ address, place, lacks: wanted.filter((attack) => !shows(text, attack)) }).toMatchObject({ lacks: [] })
    }
  }

  await visit(page, '#/events')
  await checked(page)
  const came = await storage.events.append(
    ATTACKS.map((type) => ({ type, sessionId: type, runId: type, payload: EVERY })),
  )
  await page.locator('.rows > li:first-child', { hasText: `#${came.at(-1)?.seq}` }).waitFor()
  await checked(page)
  for (const text of await textsOf(page, ['strong', folded('Payload')])) {
    expect(ATTACKS.filter((attack) => !shows(text, attack))).toEqual([])
  }

  for (const [i, attack] of ATTACKS.entries()) {
    await visit(page, `#/session?${new URLSearchParams({ id: sessionIdOf(i) })}`)
    await checked(page)
    const texts = await textsOf(page, CONVERSATION)
    expect(CONVERSATION.filter((_, n) => !shows(texts[n] ?? '', attack))).toEqual([])
  }
  await checkParameters(page)
})

/** Opens the pages that repeat what is in their address, and the field that repeats the owner. */
async function checkParameters(page: Page): Promise<void> {
  for (const address of [
    '#/',
    '#/search?q=',
    '#/search?session=',
    '#/memories?tag=',
    '#/memories?id=',
    '#/events?type=',
    '#/events?session=',
    '#/events?run=',
    '#/queues?session=',
    '#/approvals?session=',
    '#/approvals?status=',
    '#/executions?run=',
    '#/executions?status=',
    '#/sessions?orderBy=',
    '#/session?id=',
  ]) {
    await visit(page, `${address}${encodeURIComponent(ATTACKS.join(' '))}`)
    await checked(page)
  }
  await page.getByLabel('Owner').fill(ATTACKS[2] ?? '')
  await page.getByRole('button', { name: 'Filter' }).click()
  await visit(page, '#/sessions')
  await checked(page)
  expect(await page.locator('.rows .title').count()).toBe(2)
}

/** Returns what the document has at each place, also if it is folded. */
function textsOf(page: Page, places: readonly string[]): Promise<string[]> {
  return page.evaluate(`${JSON.stringify(places)}.map((place) => {
    const [, label] = /^folded (.*)/.exec(place) ?? []
    const isLabelled = (pre) => label === undefined || pre.previousElementSibling.textContent === label
    const found = document.querySelectorAll('main ' + (label === undefined ? place : 'details > summary + pre'))
    return [...found].filter(isLabelled).map(({ textContent }) => textContent).join('\\n')
  })`)
}

/** Turns to the next page of a list. Returns false if there is none. Roles would be computed for a thousand elements. */
function turned(page: Page): Promise<boolean> {
  return page.evaluate(`(() => {
    const next = [...document.querySelectorAll('.pages button:enabled')].find(({ textContent }) => textContent === 'Next')
    next?.click()
    return next !== undefined
  })()`)
}

/** Returns true if a text has an attack as it was stored, or as JSON writes it. */
function shows(text: string, attack: string): boolean {
  return text.includes(attack) || text.includes(JSON.stringify(attack))
}

/** Unfolds and presses what there is, and looks at what became of it. */
async function checked(page: Page): Promise<void> {
  await settled(page)
  await page.evaluate(`
    for (const details of document.querySelectorAll('details')) details.open = true
    for (const raw of document.querySelectorAll('main button[type=button]')) if (/JSON|Show|Copy/.test(raw.textContent)) raw.click()
    new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  `)
  await settled(page)
  const found = await page.evaluate(`({
    attacked: 'attacked' in globalThis,
    prototype: Object.keys(Object.prototype),
    scripts: document.scripts.length,
    elements: Array.from(document.querySelectorAll('body :is(${MARKUP}):not(body > *)'), (element) => element.outerHTML),
    links: Array.from(document.querySelectorAll('a'), (link) => link.getAttribute('href')).filter((href) => !href.startsWith('#')),
    images: Array.from(document.querySelectorAll('main img'), (image) => image.getAttribute('src')).filter((src) => !src.startsWith('blob:')),
    token: location.hash.includes('token='),
  })`)
  expect(found).toEqual({
    attacked: false,
    prototype: [],
    scripts: 1,
    elements: [],
    links: [],
    images: [],
    token: false,
  })
}

/** Elements and attributes that no page of Studio has. */
const MARKUP =
  'script, iframe, object, embed, base, meta, link, style, math, b, [onerror], [onload], [onclick], [onfocus], #attack'

it('the same texts run in a page that takes them for markup', async () => {
  const page = await browser.open('about:blank')
  for (const i of [0, 1, 2, 5, 6, 12, 13]) {
    await page.setContent(`<!doctype html>${ATTACKS[i]}`)
    await expect.poll(() => page.evaluate(`'attacked' in globalThis`)).toBe(true)
    await page.evaluate('delete globalThis.attacked')
  }
})

it('Trusted Types refuse markup from a string, which a page without them would run', async () => {
  const storage = await openStorage({}, quiet)
  onTestFinished(() => storage.close())
  const studio = await startStudio(storage)
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url, { logs: /has been blocked|^Failed to load resource/ })
  await page.locator('h1').waitFor()
  const outcome = await page.evaluate(`
    Object.entries({
      innerHTML: () => { document.createElement('div').innerHTML = '<b>x</b>' },
      policy: () => trustedTypes.createPolicy('mine', {}),
      handler: () => document.body.setAttribute('onclick', 'x()'),
    }).map(([name, attempt]) => {
      try {
        attempt()
        return [name, 'allowed']
      } catch (error) {
        return [name, error.name]
      }
    })
  `)
  expect(outcome).toEqual([
    ['innerHTML', 'TypeError'],
    ['policy', 'TypeError'],
    ['handler', 'TypeError'],
  ])
})

it('an image is shown, and a blob that says it is an image and is none says so', async () => {
  const storage = await openStorage({}, quiet)
  onTestFinished(() => storage.close())
  const image = await storage.blobs.put(png(40, 30, [200, 80, 80]), { name: 'real.png' })
  const wrong = await storage.blobs.put(Buffer.from('<script>attacked=1</script>'), {
    name: 'wrong.png',
    mimeType: 'image/png',
  })
  await storage.messages.append('chat', {
    role: 'user',
    content: `See ${image.uri} and ${wrong.uri}, not blob:${'0'.repeat(32)}`,
  })
  const studio = await startStudio(storage)
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url)
  await page.goto(new URL('#/session?id=chat', studio.url).href)
  await page.getByText('wrong.png is damaged, or is no image.').waitFor()
  await page.getByText('does not exist any more').waitFor()
  const shown = page.locator('.message img')
  expect(await shown.count()).toBe(1)
  await expect.poll(() => page.evaluate(`document.querySelector('.message img').naturalWidth`)).toBe(40)
  await page.goto(new URL('#/blobs', studio.url).href)
  const saving = page.waitForEvent('download')
  await page.getByRole('button', { name: /^Save/ }).first().click()
  expect((await saving).suggestedFilename()).toMatch(/\.png$/)
})

/** Each would set `attacked` in the page that opens it. */
const DOCUMENTS = {
  'page.html': ['text/html', '<script>attacked=1</script>'],
  'page.xhtml': [
    'application/xhtml+xml',
    '<html xmlns="http://www.w3.org/1999/xhtml"><script>attacked=1</script></html>',
  ],
  'logo.svg': ['image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg"><script>attacked=1</script></svg>'],
  'ticket.pdf': ['application/pdf', '%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj'],
  'program.js': ['text/javascript', 'attacked=1'],
} as const

it('SVG, HTML and PDF are saved as they were stored, and neither opened nor run', async () => {
  const storage = await openStorage({}, quiet)
  onTestFinished(() => storage.close())
  const ids = new Map<string, string>()
  for (const [name, [mimeType, text]] of Object.entries(DOCUMENTS)) {
    ids.set(name, (await storage.blobs.put(Buffer.from(text), { name, mimeType })).id)
  }
  const studio = await startStudio(storage)
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url)
  await visit(page, '#/blobs')
  const address = page.url()
  for (const [name, [, text]] of Object.entries(DOCUMENTS)) {
    const saving = page.waitForEvent('download')
    await page.locator('.blob', { hasText: name }).getByRole('button', { name: /^Save/ }).click()
    const download = await saving
    expect(download.suggestedFilename()).toBe(name)
    expect(readFileSync(await download.path(), 'utf8')).toBe(text)
  }
  expect(await page.evaluate(`'attacked' in globalThis`)).toBe(false)
  const open = { url: page.url(), pages: page.context().pages().length, frames: page.frames().length }
  expect(open).toEqual({ url: address, pages: 1, frames: 1 })

  // Behind a login with a cookie, the address of the bytes can be opened by itself.
  const handle = studioHandler(storage, { authorize: () => true })
  const server = createServer((request, response) => void serve(handle, request, response))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  for (const id of ids.values()) {
    const saving = page.waitForEvent('download')
    const bytes = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/blob/bytes?id=${id}` // it listens on TCP
    await expect(page.goto(bytes)).rejects.toThrow('Download is starting')
    await (await saving).cancel()
  }
  expect(page.url()).toBe(address)
})

it('the same document runs from a server that says what it is', async () => {
  const page = await browser.open('about:blank')
  const [contentType, body] = DOCUMENTS['page.html']
  await page.route('**/page.html', (route) => route.fulfill({ contentType, body }))
  await page.goto('http://127.0.0.1/page.html')
  expect(await page.evaluate(`'attacked' in globalThis`)).toBe(true)
})
