import { isStorageError, type MessageContent, openStorage, type Storage, type StorageScope } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { isFoundBy } from '../../src/search/highlights.ts'
import { textOfMessage } from '../../src/search/message-text.ts'
import { parseQuery } from '../../src/search/query.ts'
import { rounds } from '../setup/rounds.ts'
import { quiet } from '../setup/silent.ts'
import { checkIndex, lasting, memory, type Switched } from './databases.ts'
import { random } from './texts.ts'

const WORDS = ['invoice', 'train', 'Oslo', '東京', 'café', 'v1.2', 'blue', 'moon']
const OWNERS = ['ada', 'bob']
const configurations: Record<string, () => Promise<Switched>> = { 'in memory': async () => memory(), ...lasting }

type Next = (n: number) => number
const pick = <T>(next: Next, items: readonly T[]): T => items[next(items.length)] as T // never of an empty list
const text = (next: Next) => `${pick(next, WORDS)} ${pick(next, WORDS)} ${next(5)}`

/** What a change answers if what it changes is not there. INVALID_STATE: the range of a session that does not exist. */
const REFUSALS = ['NOT_FOUND', 'ALREADY_EXISTS', 'INVALID_INPUT', 'INVALID_STATE'] as const

/** Every change of a text, at random. */
const changes: ((scope: StorageScope, session: string, next: Next, storage: Storage) => Promise<unknown>)[] = [
  ({ messages }, session, next) => messages.append(session, { id: `m${next(20)}`, role: 'user', content: text(next) }),
  ({ messages }, session, next) =>
    messages.append(
      session,
      [1, 2, 3].map(() => ({ role: 'user', content: [{ type: 'text', text: text(next) }] })),
    ),
  ({ messages }, session, next) =>
    messages.put(session, [
      { id: 'm1', role: 'user', content: text(next) },
      { id: `m${next(20)}x`, role: 'tool', content: text(next) },
    ]),
  ({ messages }, session, next) =>
    messages.replace(session, { afterSeq: 2, throughSeq: 4 }, [{ role: 'system', content: text(next) }]),
  ({ messages }, session, next) =>
    messages.replace(session, { afterSeq: next(6) }, [{ role: 'user', content: text(next) }]),
  ({ messages }, session, next) => messages.update(session, `m${next(20)}`, { content: text(next) }),
  ({ messages }, session, next) => messages.update(session, `m${next(20)}`, { role: 'assistant' }),
  ({ messages }, session, next) => messages.delete(session, [`m${next(20)}`, `m${next(20)}`]),
  ({ messages }, session) => messages.pop(session),
  ({ messages }, session, next) => messages.truncate(session, { afterSeq: next(10) }),
  ({ sessions }, session, next) => sessions.fork(session, { id: `fork${next(3)}`, throughSeq: next(9) }),
  ({ sessions }, session, next) => (next(4) === 0 ? sessions.delete(session) : Promise.resolve()),
  (_, session, next, { sessions }) => sessions.update(session, { ownerId: pick(next, OWNERS) }),
  ({ memories }, _, next) => memories.create({ content: text(next) }),
  async ({ memories }, _, next) => {
    const { items } = await memories.list({ limit: 5 })
    if (items.length > 0) await memories.update(pick(next, items).id, { content: text(next) })
  },
  async ({ memories }, _, next) => {
    const { items } = await memories.list({ limit: 5 })
    if (items.length > 3) await memories.delete(pick(next, items).id)
  },
  (scope, session, next) =>
    scope
      .transaction(async (tx) => {
        await tx.messages.append(session, { role: 'user', content: 'undone words' })
        expect((await tx.messages.search('undone', { sessionId: session })).items).toHaveLength(1)
        throw new Error(`round ${next(2)}`)
      })
      .catch(() => {}),
]

/** Compares what a handle finds with what it has. */
async function compare({ sessions, messages, memories }: Storage | StorageScope, isWhole: boolean): Promise<void> {
  const texts: { id: string; role: string; content: MessageContent }[] = []
  for (const { id } of (await sessions.list({ limit: 1000 })).items) {
    for await (const message of messages.iterate(id)) texts.push({ ...message, id: `${id} ${message.id}` })
  }
  for (const word of [...WORDS, 'undone', 'invoice OR oslo', 'blue -moon']) {
    const query = parseQuery(word)
    const found = await messages.search(word, { limit: 1000 })
    expect(found.incomplete).toBe(undefined)
    const ids = found.items.map(({ message: { sessionId, id } }) => `${sessionId} ${id}`)
    const wanted = texts.filter(({ content }) => isFoundBy(textOfMessage(content), query)).map(({ id }) => id)
    // Without an owner, a session id that two owners use names nothing, so its messages are not listed.
    expect(isWhole ? ids.filter((id) => wanted.includes(id)).sort() : ids.sort(), word).toEqual(wanted.sort())
    const byRole = await messages.search(word, { limit: 1000, role: 'assistant' })
    expect(byRole.items.map(({ message }) => message.role)).toEqual(
      found.items.map(({ message }) => message.role).filter((role) => role === 'assistant'),
    )
    const ofSessions = await sessions.search(word, { limit: 1000 })
    const first = new Map(found.items.toReversed().map((hit) => [`${hit.message.sessionId}`, hit.message.id]))
    if (!isWhole) expect(new Map(ofSessions.items.map((hit) => [hit.session.id, hit.message.id]))).toEqual(first)
    const remembered = (await memories.search(word, { limit: 1000 })).items.map(({ memory }) => memory.id)
    const all = (await memories.list({ limit: 1000 })).items
    expect(remembered.sort()).toEqual(
      all
        .filter(({ content }) => isFoundBy(content, query))
        .map(({ id }) => id)
        .sort(),
    )
  }
}

describe.each(Object.entries(configurations))('%s', (_, configure) => {
  test('what is found is what is there, after any changes', { timeout: 600_000 }, async () => {
    const { on, file } = await configure()
    const storage = await openStorage(on, quiet)
    const next = random(7)
    for (let round = 0; round < rounds(300, 10_000); round++) {
      const scope = storage.scope({ ownerId: pick(next, OWNERS) })
      const session = pick(next, ['a', 'b', 'c', 'fork1'])
      await pick(next, changes)(scope, session, next, storage).catch((error: unknown) => {
        if (!REFUSALS.some((code) => isStorageError(error, code))) throw error
      })
      if (round % 60 === 59) {
        for (const ownerId of OWNERS) await compare(storage.scope({ ownerId }), false)
        await compare(storage, true)
        expect((await storage.stats()).search).toEqual({ pending: 0 })
      }
    }
    await storage.erase({ ownerId: 'ada' })
    await compare(storage.scope({ ownerId: 'bob' }), false)
    expect((await storage.scope({ ownerId: 'ada' }).messages.search('invoice OR oslo')).items).toEqual([])
    await storage.close()
    if (file) checkIndex(file)
  })

  test('what has expired is not found, before and after it is removed', async () => {
    const { on } = await configure()
    let now = new Date()
    await using storage = await openStorage(on, { ...quiet, now: () => now })
    await storage.sessions.create({ id: 'gone', expiresAt: new Date(now.getTime() + 1000) })
    await storage.messages.append('gone', { role: 'user', content: 'an invoice' })
    await storage.messages.append('stays', { role: 'user', content: 'an invoice' })
    const found = async () => (await storage.messages.search('invoice')).items.map(({ message }) => message.sessionId)
    expect(await found()).toEqual(['stays', 'gone'])
    now = new Date(now.getTime() + 2000)
    expect(await found()).toEqual(['stays'])
    expect((await storage.sessions.search('invoice')).items.map(({ session }) => session.id)).toEqual(['stays'])
    now = new Date(now.getTime() + 1_000_000)
    await storage.maintain()
    expect(await found()).toEqual(['stays'])
    expect((await storage.stats()).database.rows.messageSearch).toBe(1)
  })

  test.each(['newest', 'relevance'] as const)(
    'pages by %s go on though texts are written between them',
    async (order) => {
      const { on } = await configure()
      await using storage = await openStorage(on, quiet)
      const append = (sessionId: string, content: string) =>
        storage.messages.append(sessionId, { role: 'user', content })
      for (let i = 0; i < 40; i++) await append('s', `${'invoice '.repeat(1 + (i % 4))}of March`)
      const found: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await storage.messages.search('invoice', { order, limit: 10, cursor })
        found.push(...page.items.map(({ message }) => message.id))
        cursor = page.nextCursor
        if (cursor === undefined) break
        for (let i = 0; i < 15; i++) await append('other', 'nothing of this kind')
      }
      expect([found.length, new Set(found).size]).toEqual([40, 40])
    },
  )

  test('a search needs the switch, says so, and rejects bad arguments', async () => {
    const { on, off } = await configure()
    await using without = await openStorage(off, quiet)
    const scope = without.scope({ ownerId: 'ada' })
    const calls = [
      without.messages.search('x'),
      without.memories.search('x'),
      without.sessions.search('x'),
      scope.messages.search('x'),
    ]
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        code: 'INVALID_STATE',
        message: expect.stringContaining('database.options.search'),
      })
    }
    await expect(without.rebuildSearch()).rejects.toMatchObject({ code: 'INVALID_STATE' })
    expect((await without.stats()).search).toBeUndefined()
    await using storage = await openStorage(on, quiet)
    const refused = (call: Promise<unknown>, path: string) =>
      expect(call).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(path) })
    await refused(storage.messages.search('x'.repeat(1001)), 'query')
    await refused(storage.messages.search(7 as unknown as string), 'query')
    await refused(storage.messages.search('x', { order: 'oldest' as 'newest' }), 'options.order')
    await refused(storage.messages.search('x', { limit: 0 }), 'options.limit')
    await refused(storage.messages.search('x', { cursor: 'x' }), 'options.cursor')
    await refused(storage.messages.search('x', { context: { before: 101 } }), 'options.context.before')
    await refused(storage.sessions.search('x', { order: 'newest' } as object), 'options.order')
    await refused(storage.memories.search('x', { cursor: 'WyJtZW1vcmllcyBuZXdlc3QiXQ' }), 'options.cursor')
    for (const nothing of ['', '   ', '-invoice', '🎉', '"', '*', 'OR', '- -']) {
      expect(await storage.messages.search(nothing)).toEqual({ items: [] })
    }
    const longest = Array.from({ length: 500 }, (_, i) => 'ab'[i % 2]).join(' ')
    expect((await storage.messages.search(longest)).items).toEqual([])
    expect((await storage.messages.search(longest.slice(0, 600).replaceAll(' b', ' -b'))).items).toEqual([])
    expect((await storage.messages.search(longest.slice(0, 390).replaceAll(' ', ' OR '))).items).toEqual([])
  })
})
