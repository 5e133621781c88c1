import { randomUUID } from 'node:crypto'
import type { MastraDBMessage } from '@mastra/core/memory'
import { isStorageError, type Storage } from 'holdfast'
import { fromMastraMessage, HoldfastMemory, mastraStorage, toMastraMessage } from 'holdfast/mastra'
import { expect, it } from 'vitest'
import { eachDatabase } from '../repositories/databases.ts'

const is = (code: string) => (error: unknown) => isStorageError(error, code as 'INVALID_INPUT')
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second))

function say(threadId: string, id: string, second = 0, more: Partial<MastraDBMessage> = {}): MastraDBMessage {
  const content = { format: 2 as const, parts: [{ type: 'text' as const, text: id }] }
  return { id, role: 'user', threadId, createdAt: at(second), content, ...more }
}

const ids = ({ messages }: { messages: readonly { id: string }[] }) => messages.map(({ id }) => id)

/** Makes a memory with a thread of its own. */
async function begin(storage: Storage, resourceId: string = randomUUID()) {
  const memory = new HoldfastMemory(storage)
  const thread = { id: randomUUID(), resourceId, title: 'Trip', metadata: { a: 1 }, createdAt: at(0), updatedAt: at(1) }
  await memory.saveThread({ thread })
  return { memory, thread, threadId: thread.id, resourceId }
}

eachDatabase((open) => {
  it('saveThread() creates and replaces; getThreadById() returns an equal thread, and only of the given resource', async () => {
    await using storage = await open()
    const { memory, thread, threadId } = await begin(storage)
    expect(await memory.getThreadById({ threadId })).toEqual(thread)
    expect(await memory.getThreadById({ threadId, resourceId: 'other' })).toBeNull()
    expect(await memory.getThreadById({ threadId: 'none' })).toBeNull()
    const replaced = { ...thread, title: `${'long '.repeat(300)}\u0000`, metadata: { at: at(5), odd: '\ud800' } }
    await memory.saveThread({ thread: replaced })
    expect(await memory.getThreadById({ threadId })).toEqual(replaced)
    const { title: _, metadata: __, ...bare } = thread
    await memory.saveThread({ thread: bare })
    expect(await memory.getThreadById({ threadId })).toEqual(bare)
    const invalid = { ...thread, resourceId: '' }
    await expect(memory.saveThread({ thread: invalid })).rejects.toSatisfy(is('INVALID_INPUT'))
  })

  it('updateThread() changes what is given, and concurrent changes lose nothing', async () => {
    await using storage = await open()
    const { memory, thread, threadId } = await begin(storage)
    await memory.updateThread({ id: threadId, title: 'Oslo' })
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => memory.updateThread({ id: threadId, metadata: { [key]: true } })))
    const count = () =>
      memory.updateThreadMetadata({ id: threadId, update: ({ metadata }) => ({ n: Number(metadata?.n ?? 0) + 1 }) })
    await Promise.all(keys.map(count))
    const stored = await memory.getThreadById({ threadId })
    expect(stored).toMatchObject({ title: 'Oslo', createdAt: thread.createdAt })
    expect(stored?.metadata).toEqual({ a: 1, n: 8, ...Object.fromEntries(keys.map((key) => [key, true])) })
    await expect(memory.updateThread({ id: 'none', title: 'x' })).rejects.toSatisfy(is('NOT_FOUND'))
    expect(await memory.updateThreadMetadata({ id: 'none', update: () => ({}) })).toBeNull()
  })

  it('listThreads() filters, orders and pages, and forgets sessions that others have removed', async () => {
    await using storage = await open()
    const memory = new HoldfastMemory(storage)
    const resourceId = randomUUID()
    const names = ['1', '2', '3', '4'].map((name) => `${resourceId} ${name}`)
    for (const [i, id] of names.entries()) {
      const metadata = { even: i % 2 === 1, tags: ['x', i], [`of_${resourceId.slice(0, 8)}`]: true }
      await memory.saveThread({ thread: { id, resourceId, metadata, createdAt: at(i), updatedAt: at(9 - i) } })
    }
    const list = async (more: object = {}, filter: object = {}) => {
      const { threads, ...page } = await memory.listThreads({ filter: { resourceId, ...filter }, ...more })
      return { ...page, names: threads.map(({ id }) => id.slice(-1)).join('') }
    }
    expect(await list()).toEqual({ names: '4321', total: 4, page: 0, perPage: 100, hasMore: false })
    expect(await list({ page: 1, perPage: 2, orderBy: { field: 'createdAt', direction: 'ASC' } })).toMatchObject({
      names: '34',
      hasMore: false,
    })
    expect(await list({ perPage: 3 })).toMatchObject({ names: '432', total: 4, hasMore: true })
    expect(await list({ orderBy: { field: 'updatedAt', direction: 'DESC' }, perPage: false })).toMatchObject({
      names: '1234',
    })
    expect(await list({}, { metadata: { even: true, tags: ['x', 3] } })).toMatchObject({ names: '4', total: 1 })
    const everybody = { metadata: { [`of_${resourceId.slice(0, 8)}`]: true } }
    expect(await memory.listThreads({ filter: everybody })).toMatchObject({ total: 4 })
    await storage.sessions.delete(names[3] ?? '')
    expect(await list()).toMatchObject({ names: '321', total: 3 })
    await memory.deleteThread({ threadId: names[0] ?? '' })
    await memory.deleteThread({ threadId: names[0] ?? '' })
    expect(await list()).toMatchObject({ names: '32', total: 2 })
    await expect(memory.listThreads({ page: -1 })).rejects.toSatisfy(is('INVALID_INPUT'))
    await expect(memory.listThreads({ perPage: 1.5 })).rejects.toSatisfy(is('INVALID_INPUT'))
  })

  it('saveMessages() loses nothing of a message: parts, metadata, NUL, lone surrogates, dates', async () => {
    await using storage = await open()
    const { memory, threadId, resourceId } = await begin(storage)
    const messages = [
      say(threadId, 'm1', 1, { resourceId, type: 'text' }),
      say(threadId, 'm2', 2, {
        role: 'assistant',
        content: {
          format: 2,
          parts: [
            { type: 'text', text: 'Hello \u0000 \ud800 🗝' },
            {
              type: 'tool-invocation',
              toolInvocation: { state: 'result', toolCallId: 'c', toolName: 't', args: {}, result: { at: at(3) } },
            },
          ],
          content: 'Hello',
          metadata: { rating: 5, nested: { $date: 'no date' } },
        },
      }),
      say(threadId, 'm3', 3, { role: 'signal', content: 'old text' as never }),
      say(threadId, 'm4', 4, { content: { format: 2, parts: [] } }),
    ]
    await memory.saveMessages({ messages })
    await memory.saveMessages({ messages }) // a repeat
    expect(await memory.listMessages({ threadId })).toEqual({
      messages,
      total: 4,
      page: 0,
      perPage: 40,
      hasMore: false,
    })
    for (const message of messages) {
      const [stored] = await storage.messages.append(randomUUID(), [fromMastraMessage(message)])
      expect(stored && { ...toMastraMessage(stored), threadId }).toEqual(message)
    }
    await storage.messages.append(threadId, { id: 'm5', role: 'user', content: 'From elsewhere' })
    const [last] = (await memory.listMessages({ threadId, perPage: 1, orderBy: { direction: 'DESC' } })).messages
    expect(last?.content).toEqual({ format: 2, parts: [{ type: 'text', text: 'From elsewhere' }] })
    expect(ids(await memory.listMessagesById({ messageIds: ['m5', 'none', 'm2'] }))).toEqual(['m2', 'm5'])
    await expect(memory.saveMessages({ messages: [say('', 'm6')] })).rejects.toSatisfy(is('INVALID_INPUT'))
    await expect(memory.saveMessages({ messages: [say(threadId, '')] })).rejects.toSatisfy(is('INVALID_INPUT'))
  })

  it('saveMessages() replaces by id, in several threads at once, and more than 1000', async () => {
    await using storage = await open()
    const { memory, threadId } = await begin(storage)
    const other = randomUUID()
    const many = Array.from({ length: 1100 }, (_, i) => say(threadId, `m${i}`, i))
    await memory.saveMessages({ messages: [...many, say(other, 'x')] })
    const edited = say(threadId, 'm3', 3, { content: { format: 2, parts: [{ type: 'text', text: 'edited' }] } })
    await memory.saveMessages({ messages: [say(threadId, 'm3', 3), edited, say(threadId, 'new', 2000)] })
    const all = await memory.listMessages({ threadId, perPage: false })
    expect([all.total, all.messages.length, all.hasMore]).toEqual([1101, 1101, false])
    expect(all.messages[3]).toEqual(edited)
    expect(ids(await memory.listMessages({ threadId, page: 1, perPage: 1050 })).length).toBe(51)
    expect(ids(await memory.listMessages({ threadId: other }))).toEqual(['x'])
    expect(ids(await memory.listMessages({ threadId: [other, threadId], perPage: 2 })).toSorted()).toEqual(['m0', 'x'])
  })

  it('listMessages() pages, filters by time, metadata and resource, and orders by time whatever was saved first', async () => {
    await using storage = await open()
    const { memory, threadId, resourceId } = await begin(storage)
    const rated = (rating: number) => ({ format: 2 as const, parts: [], metadata: { rating } })
    await memory.saveMessages({ messages: [1, 2, 3, 4, 5].map((i) => say(threadId, `m${i}`, i, { resourceId })) })
    const list = async (more: object) => {
      const page = await memory.listMessages({ threadId, ...more })
      return [ids(page).join(), page.total, page.hasMore]
    }
    const check = async () => {
      expect(await list({ perPage: 2 })).toEqual(['m1,m2', 5, true])
      expect(await list({ perPage: 2, page: 2 })).toEqual(['m5', 5, false])
      expect(await list({ perPage: 2, resourceId, orderBy: { field: 'createdAt', direction: 'DESC' } })).toEqual([
        'm5,m4',
        5,
        true,
      ])
      expect(await list({ perPage: 0 })).toEqual(['', 0, false])
      expect(await list({ resourceId: 'other' })).toEqual(['', 0, false])
      const dateRange = { start: at(2), end: at(4) }
      expect(await list({ filter: { dateRange } })).toEqual(['m2,m3,m4', 3, false])
      expect(await list({ filter: { dateRange: { ...dateRange, startExclusive: true, endExclusive: true } } })).toEqual(
        ['m3', 1, false],
      )
      const include = [{ id: 'm3', withPreviousMessages: 1, withNextMessages: 1 }]
      expect(await list({ perPage: 0, include })).toEqual(['m2,m3,m4', 0, false])
      expect(await list({ perPage: 2, include: [{ id: 'm5', threadId }] })).toEqual(['m1,m2,m5', 5, true])
      expect(await list({ perPage: 0, resourceId: 'other', include })).toEqual(['', 0, false])
    }
    await check()
    await memory.deleteMessages(['m2', 'none'])
    await memory.saveMessages({ messages: [say(threadId, 'm2', 2, { resourceId })] }) // late: its place is not the last
    await check()
    await memory.saveMessages({ messages: [say(threadId, 'm6', 6, { resourceId: 'other', content: rated(5) })] })
    expect(await list({ resourceId: 'other' })).toEqual(['m6', 1, false])
    expect(await list({ filter: { metadata: { rating: 5 } } })).toEqual(['m6', 1, false])
    expect(await list({ filter: { metadata: { rating: '5' } } })).toEqual(['', 0, false])
    expect(ids(await memory.listMessagesByResourceId({ resourceId }))).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
    await expect(list({ threadId: [] })).rejects.toSatisfy(is('INVALID_INPUT'))
    await expect(list({ threadId: ' ' })).rejects.toSatisfy(is('INVALID_INPUT'))
    await expect(list({ page: -1 })).rejects.toSatisfy(is('INVALID_INPUT'))
  })

  it('listMessages() is in the order of the times after saves at once, none of which saw another', async () => {
    await using storage = await open()
    const { memory, threadId } = await begin(storage)
    const seconds = Array.from({ length: 12 }, (_, i) => (i * 7) % 12)
    await Promise.all(seconds.map((second) => memory.saveMessages({ messages: [say(threadId, `m${second}`, second)] })))
    const pages = [0, 1, 2].map((page) => memory.listMessages({ threadId, page, perPage: 4 }))
    expect((await Promise.all(pages)).flatMap(ids)).toEqual(seconds.map((_, i) => `m${i}`))
  })

  it('updateMessages() merges contents, moves messages, and leaves out unknown ids', async () => {
    await using storage = await open()
    const { memory, threadId } = await begin(storage)
    const { threadId: other } = await begin(storage)
    const [one, two] = [randomUUID(), randomUUID()]
    const first = say(threadId, one, 1)
    await memory.saveMessages({
      messages: [
        { ...first, content: { ...first.content, metadata: { a: 1 } } },
        say(threadId, two, 2),
        say(other, 'z', 9),
      ],
    })
    const updated = await memory.updateMessages({
      messages: [
        { id: one, content: { content: 'text', metadata: { b: 2 } } },
        { id: two, threadId: other, role: 'assistant' },
        { id: 'none', role: 'user' },
        { id: one, createdAt: at(8) } as { id: string }, // which no type of Mastra has: a message keeps its time
      ],
    })
    expect(updated).toMatchObject([
      { id: one, threadId },
      { id: two, threadId: other, role: 'assistant' },
      { id: one, createdAt: at(1) },
    ])
    const [stored] = (await memory.listMessages({ threadId })).messages
    expect(stored?.content).toEqual({ ...first.content, content: 'text', metadata: { a: 1, b: 2 } })
    expect(ids(await memory.listMessages({ threadId: other }))).toEqual([two, 'z'])
    const keys = Array.from({ length: 6 }, (_, i) => `k${i}`)
    await Promise.all(
      keys.map((key) => memory.updateMessages({ messages: [{ id: one, content: { metadata: { [key]: 1 } } }] })),
    )
    const [changed] = (await memory.listMessages({ threadId })).messages
    expect(Object.keys(changed?.content.metadata ?? {}).toSorted()).toEqual(['a', 'b', ...keys])
    await memory.deleteMessages([one, two])
    expect(ids(await memory.listMessages({ threadId: [threadId, other] }))).toEqual(['z'])
    await memory.deleteMessages([])
  })

  it('resources keep working memory and metadata, and concurrent changes lose nothing', async () => {
    await using storage = await open()
    const memory = new HoldfastMemory(storage)
    const resourceId = randomUUID()
    expect(await memory.getResourceById({ resourceId })).toBeNull()
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => memory.updateResource({ resourceId, metadata: { [key]: at(1) } })))
    await memory.updateResource({ resourceId, workingMemory: '# Ada \u0000' })
    const stored = await memory.getResourceById({ resourceId })
    expect(stored).toMatchObject({ id: resourceId, workingMemory: '# Ada \u0000' })
    expect(stored?.metadata).toEqual(Object.fromEntries(keys.map((key) => [key, at(1)])))
    const resource = { id: resourceId, workingMemory: 'new', createdAt: at(0), updatedAt: at(1) }
    await memory.saveResource({ resource })
    expect(await memory.getResourceById({ resourceId })).toEqual(resource)
  })

  it('cloneThread() copies all or some messages under new ids, and updateThreadResourceId() moves a thread', async () => {
    await using storage = await open()
    const { memory, thread, threadId, resourceId } = await begin(storage)
    await memory.saveMessages({ messages: [1, 2, 3].map((i) => say(threadId, `c${i}`, i, { resourceId })) })
    const clone = await memory.cloneThread({
      sourceThreadId: threadId,
      metadata: { b: 1 },
      options: { messageLimit: 2 },
    })
    expect(clone.thread).toMatchObject({
      title: 'Clone of Trip',
      resourceId,
      metadata: { b: 1, clone: { sourceThreadId: threadId, lastMessageId: 'c3' } },
    })
    expect(Object.keys(clone.messageIdMap ?? {})).toEqual(['c2', 'c3'])
    expect((await memory.listMessages({ threadId: clone.thread.id })).messages).toEqual(clone.clonedMessages)
    expect(clone.clonedMessages.map(({ content }) => content.parts)).toEqual(
      ['c2', 'c3'].map((text) => [{ type: 'text', text }]),
    )
    expect(await memory.getThreadById({ threadId })).toMatchObject(thread)
    const named = { messageIds: ['c1', 'c2'], startDate: at(2) }
    const other = randomUUID()
    const some = await memory.copyThread({
      sourceThreadId: threadId,
      newThreadId: other,
      resourceId: other,
      options: { messageFilter: named },
    })
    expect(Object.keys(some.messageIdMap ?? {})).toEqual(['c2'])
    expect((await memory.listMessages({ threadId: other, resourceId: other })).total).toBe(1)
    await expect(memory.cloneThread({ sourceThreadId: threadId, newThreadId: other })).rejects.toSatisfy(
      is('ALREADY_EXISTS'),
    )
    await expect(memory.cloneThread({ sourceThreadId: 'none' })).rejects.toSatisfy(is('NOT_FOUND'))

    const moved = await memory.updateThreadResourceId({ threadId, resourceId: `${resourceId} new` })
    expect(moved).toMatchObject({ id: threadId, createdAt: thread.createdAt, resourceId: `${resourceId} new` })
    expect(ids(await memory.listMessages({ threadId, resourceId: `${resourceId} new` }))).toEqual(['c1', 'c2', 'c3'])
    expect((await memory.listThreads({ filter: { resourceId } })).threads.map(({ id }) => id)).toEqual([
      clone.thread.id,
    ])
  })

  it('two owners have threads, messages and resources of the same ids', async () => {
    await using storage = await open()
    const [ada, bob] = [randomUUID(), randomUUID()].map((ownerId) => new HoldfastMemory(storage.scope({ ownerId })))
    const thread = { id: 'same', resourceId: 'same', createdAt: at(0), updatedAt: at(0) }
    await ada?.saveThread({ thread })
    await ada?.saveMessages({ messages: [say('same', 'm1')] })
    await ada?.updateResource({ resourceId: 'same', workingMemory: 'of Ada' })
    expect(await bob?.getThreadById({ threadId: 'same' })).toBeNull()
    expect(await bob?.getResourceById({ resourceId: 'same' })).toBeNull()
    await bob?.saveThread({ thread })
    expect(await bob?.listMessages({ threadId: 'same' })).toMatchObject({ total: 0 })
    expect(await bob?.listMessagesById({ messageIds: ['m1'] })).toEqual({ messages: [] })
    await bob?.dangerouslyClearAll()
    expect(await ada?.listThreads({})).toMatchObject({ total: 1 })
    expect(await ada?.getResourceById({ resourceId: 'same' })).toMatchObject({ workingMemory: 'of Ada' })
    expect(await bob?.listThreads({})).toMatchObject({ total: 0 })
  })

  it('getStore() refuses the domains that are not covered by name, and a run that waits', async () => {
    await using storage = await open()
    const store = mastraStorage(storage)
    expect(await store.getStore('memory')).toBeInstanceOf(HoldfastMemory)
    for (const name of ['scores', 'observability', 'agents', 'datasets'] as const) {
      const error: Error = await store.getStore(name).catch((caught) => caught)
      expect(error).toSatisfy(is('INVALID_STATE'))
      expect(error.message).toContain(`no domain ${name} for Mastra: combine`)
    }
    const workflows = await store.getStore('workflows')
    const run = { workflowName: 'w', runId: 'r' }
    const snapshot = (status: string) => ({ ...run, snapshot: { status } as never })
    await workflows?.persistWorkflowSnapshot(snapshot('running'))
    await expect(workflows?.persistWorkflowSnapshot(snapshot('suspended'))).rejects.toThrow(/no domain workflows/)
    expect(await workflows?.loadWorkflowSnapshot(run)).toBeNull()
  })
})
