import { openStorage, type Storage } from 'holdfast'
import { startStudio } from 'holdfast/studio'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { quiet } from '../setup/silent.ts'
import { browserOfFile, visit } from './browser.ts'
import { served } from './served.ts'

const browser = browserOfFile()
const id = 'shared'
const OWNERS = ['acme', 'globex', 'nobody']
let storage: Storage

const ofOwner = (name: string) => (name === 'nobody' ? storage : storage.scope({ ownerId: name }))

beforeAll(async () => {
  storage = await openStorage({ database: { type: 'in-memory', options: { search: true } } }, quiet)
  const identity = { runId: id, turnId: 't', modelStepId: 's', toolCallId: 'c' }
  for (const name of OWNERS.toReversed()) {
    const large = { text: 'x'.repeat(20_000), by: name }
    const mine = ofOwner(name)
    await mine.sessions.create({ id, title: `Session of ${name}` })
    await mine.messages.append(id, [
      { id: 'm1', role: 'user', content: `Said by ${name}` },
      { id: 'm2', role: 'user', content: `${'y'.repeat(20_000)} and the end by ${name}` },
    ])
    await mine.sessions.fork(id, { id: `fork-${name}`, title: `Fork of ${name}` })
    await mine.queues.push(id, 'inbox', { id: 'q1', text: `Queued by ${name}` })
    await mine.events.append({ type: `event of ${name}`, sessionId: id })
    await mine.approvals.request({ id, sessionId: id, type: `Asked by ${name}`, request: large })
    await mine.toolExecutions.start({ identity, toolName: `tool of ${name}`, input: large })
  }
  return () => storage.close()
})

/** Opens Studio, where approvals can be answered. */
async function opened() {
  const studio = await startStudio(storage, { write: true })
  onTestFinished(() => studio.close())
  const page = await browser.open(studio.url)
  await page.locator('h1').waitFor()
  return page
}

it('a session is shown as its owner has it, also if others have its id', async () => {
  const page = await opened()
  const main = page.locator('main')
  for (const name of OWNERS) {
    await visit(page, '#/sessions')
    await main.getByRole('link', { name: `Session of ${name}` }).click()
    await main.getByText(`Said by ${name}`).waitFor()
    await main.getByRole('button', { name: /^Show the whole message/ }).click()
    await main.getByText(`and the end by ${name}`).waitFor()
    await main.getByText('Forks', { exact: true }).click()
    await main.getByRole('link', { name: `Fork of ${name}` }).click()
    await main.getByRole('link', { name: `Session of ${name}` }).click()
    await main.getByText(`Said by ${name}`).waitFor()
    const address = String(await page.evaluate('location.hash'))
    for (const [list, text] of [
      ['Queues', '1 item'],
      ['Events', `event of ${name}`],
      ['Approvals', `Asked by ${name}`],
    ] as const) {
      await visit(page, address)
      await main.getByRole('link', { name: list, exact: true }).click()
      await main.getByText(text).first().waitFor()
      // The storage itself lists those of everybody.
      if (name !== 'nobody') expect(await main.locator('.rows[aria-label] > li').count()).toBe(1)
      if (list !== 'Events') await main.getByText(`Of the session ${id} · all ${list.toLowerCase()}`).waitFor()
      if (name !== 'nobody') await main.getByText(`owner ${name}`).first().waitFor()
      const row = main.locator('.rows > li').filter({ hasText: list === 'Queues' ? 'inbox' : name })
      await row.getByRole('link', { name: id }).last().click()
      await main.getByText(list === 'Queues' ? 'Said by' : `Said by ${name}`).waitFor()
    }
  }
})

it('an approval, a queue and an execution are those of the owner whose row it is', async () => {
  const page = await opened()
  const rows = page.locator('main .rows > li')
  for (const name of OWNERS) {
    await visit(page, '#/queues')
    await rows.getByText('1 item').nth(2).waitFor()
    for (let i = 0; i < 3; i++) await rows.getByText('1 item').nth(i).click()
    await rows.getByText(`Queued by ${name}`).waitFor()
    await visit(page, '#/executions')
    const execution = rows.filter({ hasText: `tool of ${name}` })
    await execution.getByRole('button', { name: 'Show the whole' }).click()
    await execution.locator('.cut').getByText(`"by": "${name}"`).waitFor()
    await visit(page, '#/approvals')
    const approval = rows.filter({ hasText: `Asked by ${name}` })
    await approval.getByRole('button', { name: 'Show the whole' }).click()
    await approval.locator('.cut').getByText(`"by": "${name}"`).waitFor()
    await approval.getByLabel('or').fill(`decision for ${name}`)
    await approval.getByRole('button', { name: 'Send' }).click()
    await approval.locator('.badge', { hasText: `decision for ${name}` }).waitFor()
    expect((await ofOwner(name).approvals.get(id))?.response?.decision).toBe(`decision for ${name}`)
  }
})

it('the field of the owner says whose the page is, and leads to the same id of another owner', async () => {
  const page = await opened()
  await visit(page, `#/session?id=${id}&owner=acme`)
  await page.getByText('Said by acme').waitFor()
  const field = page.getByLabel('Owner')
  expect(await field.inputValue()).toBe('acme')
  await field.fill('globex')
  await field.press('Enter')
  await page.getByText('Said by globex').waitFor()
  await page.goBack()
  await page.getByText('Said by acme').waitFor()
})

it('a search leads to the session of the owner whose message was found', async () => {
  const { json } = await served(storage)
  for (const place of ['messages', 'sessions']) {
    const { items } = (await json(`search?q=said&in=${place}`)).json
    expect(
      items
        .map(({ ownerId }: { ownerId: string }) => ownerId)
        .toSorted()
        .slice(0, 3),
    ).toContain('acme')
    expect(new Set(items.map(({ ownerId }: { ownerId: string }) => ownerId))).toEqual(new Set(['', 'acme', 'globex']))
  }
  const page = await opened()
  for (const name of OWNERS) {
    await visit(page, `#/search?q=%22said+by+${name}%22`)
    await page.locator('main').getByRole('link', { name: id }).click()
    await page.locator('.message.found').getByText(`Said by ${name}`).waitFor()
  }
})
