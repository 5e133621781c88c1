import { createReadStream } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { type StudioServer, startStudio } from 'holdfast/studio'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { work } from '../../examples/agent/agent.ts'
import { scriptedModel } from '../../examples/agent/model.ts'
import { travelTools } from '../../examples/agent/tools.ts'
import { attachFiles } from '../../examples/quickstart/attachments.ts'
import { importChats } from '../../examples/quickstart/import-chats.ts'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { browserOfFile, settled, visit } from './browser.ts'

const sample = resolve(import.meta.dirname, '../../examples/quickstart/conversations.jsonl')

const browser = browserOfFile()
let storage: Storage
let studio: StudioServer
let page: Page
let directory: string

beforeAll(async () => {
  directory = freshDirectory()
  storage = await openStorage(
    {
      database: { type: 'sqlite', path: join(directory, 'agent.db'), options: { search: true } },
      blobStore: { type: 'local', storePath: join(directory, 'blobs') },
    },
    quiet,
  )
  studio = await startStudio(storage, { write: true })
  page = await browser.open(studio.url)
})
afterAll(async () => {
  await studio.close()
  await storage.close()
})

interface Chat {
  messages: { content?: unknown; tool_calls?: { function: { name: string } }[] }[]
}

it('the fifty conversations of the quickstart are listed, and each is shown from its first to its last message', async () => {
  const ids: string[] = []
  for await (const lines of importChats(storage, createReadStream(sample))) {
    for (const line of lines) if (line.outcome === 'imported') ids.push(line.sessionId)
  }
  await attachFiles(storage, ids[0] ?? '', 'files')
  const chats = (await readFile(sample, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line): Chat => JSON.parse(line))
  expect(ids).toHaveLength(50)

  await visit(page, '#/sessions')
  const listed: string[] = []
  for (const expected of [30, 20]) {
    await settled(page)
    const shown = await page.locator('.rows .id').allInnerTexts()
    expect(shown).toHaveLength(expected)
    listed.push(...shown)
    if (expected === 30) await page.getByRole('button', { name: 'Next' }).click()
    await page.getByText('Page 2').waitFor()
  }
  expect(listed.toSorted()).toEqual(ids.toSorted())

  for (const [i, id] of ids.entries()) await expectShown(id, chats[i]?.messages ?? [])
})

/** Opens a conversation, and expects what was said in it, and the tools that were called. */
async function expectShown(id: string, messages: Chat['messages']): Promise<void> {
  await visit(page, `#/session?id=${id}`)
  await settled(page)
  const texts = await page.locator('.message').allTextContents()
  expect(texts.length).toBeGreaterThanOrEqual(Math.min(messages.length, 20))
  for (const [n, { content, tool_calls: calls = [] }] of messages.slice(0, texts.length).entries()) {
    const said = typeof content === 'string' ? [content.slice(0, 3000)] : []
    const called = calls.map(({ function: { name } }) => `tool call: ${name}`)
    for (const text of [...said, ...called]) {
      expect({ id, n, text: texts[n] }).toEqual({ id, n, text: expect.stringContaining(text) })
    }
  }
}

it('the agent of the example is seen at work: its queue, its tools, and the approval that it waits for', async () => {
  await mkdir(join(directory, 'data'))
  await storage.messages.append('trip', { id: 'request', role: 'user', content: 'Book me a seat on the 9:04 to Oslo.' })
  await storage.queues.push('trip', 'steer', { id: 'window', text: 'A window seat, please.' })
  await visit(page, '#/queues')
  await page.getByText('1 item').click()
  await page.getByText('"A window seat, please."').waitFor()

  await visit(page, '#/events?session=trip')
  await page.getByText('There are no events here. New ones appear by themselves.').waitFor()
  const outbox = join(directory, 'data', 'outbox.jsonl')
  let asks: () => void = () => {}
  const asked = new Promise<void>((resolve) => {
    asks = resolve
  })
  const done = work({
    storage,
    sessionId: 'trip',
    runId: 'run-1',
    model: scriptedModel,
    tools: travelTools(outbox),
    say: (text) => text.startsWith('asks') && asks(),
  })
  await page.getByText('tool.answered').first().waitFor()
  await page.getByText('"tool": "reserve_seat"').first().waitFor({ state: 'attached' })
  await asked
  await visit(page, '#/approvals')
  await page.getByText('"tool": "mail_ticket"').waitFor()
  await page.getByRole('button', { name: 'Approve' }).click()
  await page.locator('.badge', { hasText: /^approved$/ }).waitFor()
  await done

  await visit(page, '#/session?id=trip')
  await page.getByText('You have window seat 10A, and the ticket is in your mail.').waitFor()
  await page.getByText('tool-call: reserve_seat').click()
  await page.locator('details[open]').getByText('"place": "window"').waitFor()
  await visit(page, '#/executions?run=run-1')
  await settled(page)
  expect(await page.locator('.title').allInnerTexts()).toEqual(['mail_ticket', 'reserve_seat'])
  expect(await page.locator('.badge').allInnerTexts()).toEqual(['completed', 'completed'])
  await visit(page, '#/queues')
  await page.getByText('0 items').waitFor()
})

it('what is said to the agent in two ways is a tree of forks', async () => {
  await storage.sessions.fork('trip', { id: 'aisle', title: 'An aisle seat', throughSeq: 2 })
  await storage.sessions.fork('aisle', { id: 'bus', title: 'By bus' })
  await visit(page, '#/session?id=bus')
  await page.locator('.tree .tree .tree').getByText('By bus').waitFor()
  await page.locator('.tree').first().getByRole('link', { name: 'trip' }).click()
  await page.getByRole('heading', { name: 'trip' }).waitFor()
})

it('each page shows what the examples have stored, and the search finds it', async () => {
  for (const [address, text] of [
    ['#/', 'messages'],
    ['#/search?q=Lisbon', 'Lisbon'],
    ['#/blobs', 'notes.txt'],
    ['#/configuration', 'agent.db'],
    ['#/memories', 'There are no memories here.'],
  ] as const) {
    await visit(page, address)
    await page.locator('main').getByText(text).first().waitFor()
    await settled(page)
    expect(await page.locator('.failure').count()).toBe(0)
  }
})
