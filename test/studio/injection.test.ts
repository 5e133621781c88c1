import { openStorage } from 'holdfast'
import { startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { expect, it, onTestFinished } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { browserOfFile } from './browser.ts'
import { png } from './filled.ts'

const browser = browserOfFile()

/** Texts that run something if they are taken for markup, for a url or for code. Each would set `attacked`. */
const ATTACKS = [
  '<script>attacked=1</script>',
  '<img src=x onerror=attacked=1>',
  '"><svg onload=attacked=1>',
  "'-attacked=1-'",
  'javascript:attacked=1',
  '</script><script>attacked=1</script>',
  '<iframe srcdoc="<script>parent.attacked=1</script>">',
  '<a href="javascript:attacked=1" id=attack>x</a>',
  '<style>@import "http://evil.example/x.css";</style>',
  '<base href="http://evil.example/">',
  '<meta http-equiv=refresh content="0;url=http://evil.example/">',
  '<link rel=stylesheet href=http://evil.example/x.css>',
  '<form action=http://evil.example><input name=attack autofocus onfocus=attacked=1>',
  '<math><mtext></table><img src onerror=attacked=1>',
  '{{constructor.constructor("attacked=1")()}}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what an attacker would store
  '${attacked=1}',
  '<img src="http://evil.example/pixel.png">',
  '![x](http://evil.example/pixel.png)',
  '\u202e<b onclick=attacked=1>\u2066',
  '<object data="data:text/html,<script>attacked=1</script>">',
  '#token=stolen',
  '__proto__',
]
const all = ATTACKS.join(' ')

it('nothing that a model or a user has written runs, loads or is taken for markup, on any page', async () => {
  const storage = await openStorage({ database: { type: 'in-memory', options: { search: true } } }, quiet)
  onTestFinished(() => storage.close())
  for (const [i, attack] of ATTACKS.entries()) {
    const id = `${attack} ${i}`.slice(0, 200)
    const owner = storage.scope({ ownerId: attack })
    await owner.sessions.create({ id, title: attack, metadata: { [attack]: { [attack]: attack } } })
    await owner.messages.append(id, [
      { id: attack, role: attack.slice(0, 100), content: `${attack} word`, metadata: { [attack]: attack } },
      { role: 'user', content: [{ type: attack, text: attack, [attack]: attack }] },
      {
        role: 'assistant',
        content: [{ type: 'tool-call', toolName: attack, name: attack, input: { [attack]: attack } }],
      },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: attack },
          { type: 'text', text: attack },
        ],
      },
      { role: 'tool', content: attack },
      {
        role: 'user',
        content: [
          {
            type: 'image',
            image: `data:image/svg+xml;base64,${Buffer.from(`<svg onload="attacked=1"/>`).toString('base64')}`,
          },
          { type: 'image_url', image_url: { url: 'http://evil.example/pixel.png' } },
          { type: 'image', image: `data:image/png;base64,${Buffer.from(attack).toString('base64')}` },
          { type: 'file', url: `data:text/html,${attack}` },
        ],
      },
    ])
    await owner.sessions.fork(id, { id: `fork ${id}`, title: attack })
    await owner.memories.create({
      content: `${attack} word`,
      tags: [attack.replace(/\p{Cc}/gu, '').slice(0, 50)],
      metadata: { [attack]: attack },
    })
    await owner.events.append({ type: attack, sessionId: id, runId: attack, payload: { [attack]: attack } })
    await owner.queues.push(id, attack, { id: attack, [attack]: attack })
    await owner.approvals.request({ sessionId: id, type: attack, request: { [attack]: attack } })
    const identity = { runId: attack, turnId: attack, modelStepId: attack, toolCallId: attack }
    const { record } = await owner.toolExecutions.start({ identity, toolName: attack, input: { [attack]: attack } })
    if (i % 2 === 0) await owner.toolExecutions.fail(record.executionId, { [attack]: attack })
    await owner.blobs.put(Buffer.from(`<script>attacked=1</script>${attack}`), {
      name: attack,
      source: attack,
      mimeType: ['text/html', 'image/svg+xml', 'image/png'][i % 3] ?? '',
      metadata: { [attack]: attack },
    })
  }
  const studio = await startStudio(storage, { write: true })
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url)
  const addresses = [
    '#/',
    '#/sessions',
    '#/search?q=word',
    '#/search?q=word&in=sessions',
    '#/search?q=word&in=memories',
    '#/memories',
    '#/events',
    '#/queues',
    '#/approvals',
    '#/executions',
    '#/blobs',
    '#/configuration',
    `#/${encodeURIComponent(all)}`,
  ]
  for (const address of addresses) {
    await page.goto(new URL(address, studio.url).href)
    await checked(page)
  }
  for (const attack of [...ATTACKS.keys()].filter((i) => i % 9 === 0)) {
    const id = `${ATTACKS[attack]} ${attack}`.slice(0, 200)
    const address = `#/session?${new URLSearchParams({ id })}`
    await page.goto(new URL(address, studio.url).href)
    await page.locator('.message').first().waitFor()
    await checked(page)
    expect(await page.locator('h1').innerText()).toContain(
      ATTACKS[attack]?.replace(/[\u202e\u2066]/g, '').slice(0, 4) ?? '',
    )
  }
})

/** Unfolds and presses what there is, and looks at what became of it. */
async function checked(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor()
  await page.locator('main [aria-busy]').waitFor({ state: 'detached' })
  await page.evaluate(`
    for (const details of document.querySelectorAll('details')) details.open = true
    for (const raw of document.querySelectorAll('main button')) if (/JSON|Show|Copy/.test(raw.textContent)) raw.click()
  `)
  await page.waitForTimeout(50)
  const found = await page.evaluate(`({
    attacked: 'attacked' in globalThis,
    prototype: Object.keys(Object.prototype),
    elements: Array.from(document.querySelectorAll('main :is(${MARKUP})'), (element) => element.outerHTML),
    links: Array.from(document.querySelectorAll('a'), (link) => link.getAttribute('href')).filter((href) => !href.startsWith('#')),
    images: Array.from(document.querySelectorAll('main img'), (image) => image.getAttribute('src')).filter((src) => !src.startsWith('blob:')),
    token: location.hash.includes('token='),
  })`)
  expect(found).toEqual({ attacked: false, prototype: [], elements: [], links: [], images: [], token: false })
}

/** Elements and attributes that no page of Studio has. */
const MARKUP =
  'script, iframe, object, embed, base, meta, link, style, math, b, [onerror], [onload], [onclick], #attack'

it('the same texts run in a page that takes them for markup', async () => {
  const page = await browser.open('about:blank')
  await page.setContent(ATTACKS[1] ?? '')
  await expect.poll(() => page.evaluate(`'attacked' in globalThis`)).toBe(true)
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
