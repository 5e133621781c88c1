import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { UIMessage } from 'ai'
import { openStorage, type Storage } from 'holdfast'
import { type ChatStore, chatStore, fromUIMessage } from 'holdfast/ai-sdk'
import { expect, it } from 'vitest'
import { startLink } from '../database/link.ts'
import { eachDatabase } from '../repositories/databases.ts'
import { freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const say = (id: string, text = id, role: UIMessage['role'] = 'user'): UIMessage => ({
  id,
  role,
  parts: [{ type: 'text', text }],
})
const answer = (id: string, text = id) => say(id, text, 'assistant')

eachDatabase((open) => {
  it('delete() removes the chat and its active stream', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    await chats.save(chat, [say('1')])
    await chats.setActiveStream(chat, 's1')
    expect([await chats.delete(chat), await chats.delete(chat)]).toEqual([true, false])
    expect([await chats.load(chat), await chats.activeStream(chat)]).toEqual([[], undefined])
  })

  it('a stream that ends late does not end its successor', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    expect(await chats.activeStream(chat)).toBeUndefined()
    await chats.setActiveStream(chat, 's1')
    await chats.setActiveStream(chat, 's2')
    expect(await chats.clearActiveStream(chat, 's1')).toBe(false)
    expect(await chats.activeStream(chat)).toBe('s2')
    expect([await chats.clearActiveStream(chat, 's2'), await chats.activeStream(chat)]).toEqual([true, undefined])
    await chats.setActiveStream(chat, 's3')
    expect([await chats.clearActiveStream(chat), await chats.clearActiveStream(chat)]).toEqual([true, false])
    expect(await chats.activeStream(chat)).toBeUndefined()
  })

  it('keeps the chats of each owner apart, and shows what other parts of the program append', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const of = (ownerId: string): ChatStore => chatStore(storage.scope({ ownerId }))
    await of('ada').save(chat, [say('1', 'Ada')])
    await of('bob').save(chat, [say('1', 'Bob')])
    await of('ada').setActiveStream(chat, 's')
    expect(await of('bob').activeStream(chat)).toBeUndefined()
    await storage
      .scope({ ownerId: 'ada' })
      .messages.append(chat, { id: '2', role: 'assistant', content: 'Hi', metadata: { by: 'cron' } })
    const messages = await of('ada').load(chat)
    expect(messages).toEqual([say('1', 'Ada'), { ...answer('2', 'Hi'), metadata: { by: 'cron' } }])
    await of('ada').save(chat, [...messages, say('3')], { base: messages })
    expect(await of('ada').load(chat)).toHaveLength(3)
    expect(await of('bob').load(chat)).toEqual([say('1', 'Bob')])
  })
})

it('the agent of examples/ai-sdk is killed while it answers, and goes on', async () => {
  const demo = join(import.meta.dirname, '../../examples/ai-sdk/demo.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', demo], { timeout: 60_000 })
  const lines = stdout.trim().split('\n')
  expect(lines).toHaveLength(10)
  expect(lines.filter((line) => line.startsWith('user: '))).toHaveLength(4)
  expect(lines.slice(4, 7)).toEqual(['user: Where do I sleep?', 'killed; starts again', 'agent: At the Fretheim.'])
  expect(lines.at(-1)).toBe('saved: 8 messages')
})

it('the id of a stream whose process has died is forgotten', async () => {
  let now = new Date()
  await using storage: Storage = await openStorage({}, { ...quiet, now: () => now })
  const chats = chatStore(storage, { streamTtlSeconds: 60 })
  await chats.setActiveStream('chat', 's')
  now = new Date(now.getTime() + 61_000)
  expect(await chats.activeStream('chat')).toBeUndefined()
})

it('every process knows at once which stream is active, also with a memory cache', async () => {
  const config = { database: { type: 'postgres' as const, url: await freshPostgres() } }
  await using one = await openStorage(config, quiet)
  await using other = await openStorage(config, quiet)
  const [here, there] = [chatStore(one), chatStore(other)]
  expect(await there.activeStream('chat')).toBeUndefined()
  await here.setActiveStream('chat', 's')
  expect(await there.activeStream('chat')).toBe('s')
  await here.setActiveStream('chat', 't')
  expect([await there.clearActiveStream('chat', 's'), await there.clearActiveStream('chat', 't')]).toEqual([
    false,
    true,
  ])
  await here.setActiveStream('chat 2', 't') // a key that begins as the other one
  expect([await here.activeStream('chat'), await there.activeStream('chat')]).toEqual([undefined, undefined])
})

it('sends a fraction of 400 known messages and 2 new ones, in few round trips', async () => {
  const url = new URL(await freshPostgres())
  await (await openStorage({ database: { type: 'postgres', url: url.href } }, quiet)).close() // migrates, over no link
  const link = await startLink(Number(url.port), { delayMillis: 10 })
  url.port = String(link.port)
  await using storage = await openStorage({ database: { type: 'postgres', url: url.href, maxConnections: 1 } }, quiet)
  const chats = chatStore(storage)
  const text = 'It leaves at four minutes past nine from platform two. '.repeat(14) // 770 bytes
  const known = Array.from({ length: 400 }, (_, i) => say(`message-${i}`, text))
  const two = (turn: number) => [say(`question-${turn}`, text), answer(`answer-${turn}`, text)]
  const cost = async (work: () => Promise<unknown>) => {
    const [bytes, trips] = [link.bytesSent, link.roundTrips]
    await work()
    return { kilobytes: Math.round((link.bytesSent - bytes) / 1000), trips: link.roundTrips - trips }
  }
  // The server prepares each statement at its first use: the second round counts.
  const costs: Record<string, { kilobytes: number; trips: number }> = {}
  for (const round of [1, 2]) {
    const id = `chat ${round}`
    await chats.save(id, known)
    const all = [...known, ...two(1)]
    costs.base = await cost(() => chats.save(id, all, { base: known }))
    costs.whole = await cost(() => chats.save(id, [...all, ...two(2)]))
    const base = [...all, ...two(2)]
    costs.regenerate = await cost(() => chats.save(id, [...base.slice(0, -1), answer('other')], { base }))
    costs.load = await cost(() => chats.load(id))
    const messages = [...known, ...two(3)].map(fromUIMessage)
    costs.naive = await cost(() => storage.messages.append(`naive ${round}`, messages))
  }
  expect(costs.naive?.kilobytes).toBeGreaterThan(300)
  expect(costs.base).toEqual({ kilobytes: 3, trips: 2 })
  expect(costs.whole?.kilobytes).toBeLessThan(20)
  expect([costs.whole?.trips, costs.regenerate?.trips]).toEqual([6, 6])
  expect(costs.load?.trips).toBe(1)
})
