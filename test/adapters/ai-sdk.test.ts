import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { UIMessage } from 'ai'
import { isStorageError, openStorage, type Storage } from 'holdfast'
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
const many = (count: number) => Array.from({ length: count }, (_, i) => say(`${i}`))
const isConflict = (error: unknown) => isStorageError(error, 'VERSION_CONFLICT')

eachDatabase((open) => {
  it('load() returns what save() was given, and nothing of a chat that does not exist', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    expect(await chats.load(`none ${chat}`)).toEqual([])
    const messages: UIMessage[] = [
      { ...say('u', 'Hello \u0000 \ud800 🗝'), metadata: { from: 'web', nested: { aiSdk: 1 } } },
      {
        id: 'a',
        role: 'assistant',
        metadata: 7,
        parts: [
          { type: 'step-start' },
          { type: 'reasoning', text: 'hm', state: 'done', providerMetadata: { p: { signature: 'x' } } },
          {
            type: 'tool-search',
            toolCallId: 'c',
            state: 'output-available',
            input: {},
            output: { at: new Date(0), bytes: new Uint8Array([0, 255]) },
          },
          { type: 'data-chart', id: 'd', data: [1, { $date: 'no date' }] },
        ],
      },
    ]
    await chats.save(chat, messages)
    expect(await chats.load(chat)).toEqual(messages)
    await chats.save(chat, messages, { base: messages })
    await chats.save(`empty ${chat}`, [])
    expect(await chats.load(chat)).toEqual(messages)
  })

  it('save() appends, changes, removes and reorders: the chat is the list', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const lists = [
      [say('1'), answer('2')],
      [say('1'), answer('2'), say('3'), answer('4')], // the next turn
      [say('1'), answer('2'), say('3'), answer('4', 'with the output of a tool')],
      [say('1'), answer('2'), say('3'), answer('5', 'regenerated')],
      [say('1', 'edited'), answer('6')],
      [say('1', 'edited'), say('0'), answer('6', 'edited as well')], // one in the middle
      [answer('6', 'edited as well'), say('1', 'edited')],
      [say('7')],
      [],
      [say('1')],
    ]
    let base: UIMessage[] = []
    for (const list of lists) {
      await chats.save(chat, list, { base })
      expect(await chats.load(chat)).toEqual(list)
      await chats.save(chat, list, { base }) // a repeat, whose outcome was lost
      expect(await chats.load(chat)).toEqual(list)
      expect((await storage.sessions.summary(chat))?.messageCount).toBe(list.length)
      base = await chats.load(chat)
    }
  })

  it('save() without base appends, changes and reorders, and refuses to remove', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    await chats.save(chat, [say('1'), answer('2')])
    await chats.save(chat, [say('1'), answer('2', 'edited'), say('3')])
    expect(await chats.load(chat)).toEqual([say('1'), answer('2', 'edited'), say('3')])
    const before = await storage.messages.latest(chat, 10)
    await expect(chats.save(chat, [say('1', 'changed'), say('4')])).rejects.toSatisfy(isConflict)
    await expect(chats.save(chat, [])).rejects.toSatisfy(isConflict)
    expect(await storage.messages.latest(chat, 10)).toEqual(before)
    await chats.save(chat, [say('0'), say('3'), say('1'), answer('2', 'edited')])
    expect((await chats.load(chat)).map(({ id }) => id)).toEqual(['0', '3', '1', '2'])
    const times = new Map((await storage.messages.latest(chat, 10)).map(({ id, createdAt }) => [id, createdAt]))
    for (const { id, createdAt } of before) expect(times.get(id)).toEqual(createdAt)
  })

  it('save() loses nothing that others have appended, changed or removed since', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const base = [say('1'), answer('2'), say('3'), answer('4')]
    const others: Record<string, () => Promise<unknown>> = {
      'appended a message': () => storage.messages.append(chat, fromUIMessage(say('5'))),
      'changed the last message': () => storage.messages.put(chat, [fromUIMessage(answer('4', 'theirs'))]),
      'removed the last message': () => storage.messages.delete(chat, ['4']),
      'regenerated the answer': () => chats.save(chat, [...base.slice(0, 3), answer('6')], { base }),
    }
    const mine: Record<string, UIMessage[]> = {
      append: [...base, say('7')],
      edit: [...base.slice(0, 3), answer('4', 'mine')],
      regenerate: [...base.slice(0, 3), answer('8')],
      remove: base.slice(0, 3),
    }
    const outcomes: Record<string, string> = {}
    for (const [they, change] of Object.entries(others)) {
      for (const [i, list] of Object.entries(mine)) {
        await chats.delete(chat)
        await chats.save(chat, base)
        await change()
        const theirs = await chats.load(chat)
        const error = await chats.save(chat, list, { base }).catch((caught) => caught)
        const now = await chats.load(chat)
        if (error === undefined) outcomes[`${they}; ${i}`] = now.map(({ id }) => id).join()
        else {
          expect(error).toSatisfy(isConflict)
          expect(now, `${they}; ${i}`).toEqual(theirs)
        }
      }
    }
    // A change of a message that this program does not touch stays, and its own message is appended.
    // A message that both have removed is as this program wants it.
    expect(outcomes).toEqual({
      'changed the last message; append': '1,2,3,4,7',
      'removed the last message; remove': '1,2,3',
    })
  })

  it('save() keeps every message of several writers at once, which a save of the whole list does not', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const writers = Array.from({ length: 8 }, (_, i) => `writer ${i}`)
    const naive = async (id: string) => {
      const messages = [...(await chats.load(`naive ${chat}`)), say(id)]
      await storage.messages.replace(`naive ${chat}`, { afterSeq: 0 }, messages.map(fromUIMessage))
    }
    await Promise.allSettled(writers.map(naive))
    expect((await chats.load(`naive ${chat}`)).length).toBeLessThan(writers.length)

    const protectedSave = (withBase: boolean) => async (id: string) => {
      for (;;) {
        const base = await chats.load(`${chat} ${withBase}`)
        const error = await chats
          .save(`${chat} ${withBase}`, [...base, say(id)], withBase ? { base } : {})
          .catch((caught: unknown) => caught)
        if (error === undefined) return
        expect(error).toSatisfy(isConflict)
      }
    }
    for (const withBase of [true, false]) {
      await Promise.all(writers.map(protectedSave(withBase)))
      expect((await chats.load(`${chat} ${withBase}`)).map(({ id }) => id).toSorted()).toEqual(writers)
    }
  })

  it('save() takes 2,500 messages', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const messages = many(2500)
    await chats.save(chat, messages, { base: [] })
    expect(await chats.load(chat)).toEqual(messages)
    const other = [say('x'), ...messages]
    await chats.save(chat, other)
    expect(await chats.load(chat)).toEqual(other)
    await chats.save(chat, other.slice(1200), { base: other })
    expect(await chats.load(chat)).toEqual(other.slice(1200))
  })

  it('save() names a message without an id, and what cannot be stored', async () => {
    await using storage = await open()
    const chat = randomUUID()
    const chats = chatStore(storage)
    const invalid = async (messages: UIMessage[]) => {
      const error: unknown = await chats.save(chat, messages).catch((caught) => caught)
      return isStorageError(error, 'INVALID_INPUT') ? error.details.problems : error
    }
    expect(await invalid([say('1'), answer('')])).toEqual([
      { path: 'messages.1.id', message: 'must not be empty: pass `generateMessageId` to the AI SDK' },
    ])
    expect(await invalid([{ id: '1', role: 'user', parts: [{ type: 'data-x', data: new Map() }] }])).toMatchObject([
      { path: 'messages.0.content.0.data' },
    ])
    expect(await invalid([say('1'), say('1')])).toHaveLength(1)
    expect(await chats.load(chat)).toEqual([])
  })

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
