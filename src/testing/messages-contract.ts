import assert from 'node:assert/strict'
import type { MessageInput } from '../repositories/messages/types.ts'
import { allPages, type Cases, eachInput, refused, shown, times } from './contract.ts'

const user = (content: string, id?: string): MessageInput => ({ id, role: 'user', content })

/** `storage.messages`: append and read. */
export const messageCases: Cases = {
  async 'append() creates the session and returns the stored message'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const id = name()
    const first = await messages.append(id, { role: 'user', content: 'hello' })
    const { id: messageId, ...rest } = first
    const now = clock.now()
    assert.match(messageId, /^[0-9a-f-]{36}$/)
    assert.deepEqual(rest, { sessionId: id, seq: 1, role: 'user', content: 'hello', metadata: {}, createdAt: now })
    assert.deepEqual(await messages.get(id, messageId), first)
    const session = { title: null, ownerId: '', metadata: {}, version: 1, parentId: null, expiresAt: null }
    assert.deepEqual(await sessions.get(id), { id, ...session, createdAt: now, updatedAt: now })
  },

  ...eachInput(
    [
      '',
      '10',
      'null',
      '"quoted"',
      '\u0000',
      '\ud800',
      [
        { type: 'text', text: 'Ünïcödé \u0000 \ud800 🗝' },
        { type: 'tool-call', id: 'c1', input: { z: [1, null, 2 ** 53], '10': 'a', '2': 'b' } },
      ],
      [],
      null,
    ],
    (content) => `append() keeps the content ${shown(content)}`,
    async (content, { storage: { messages }, name }) => {
      const createdAt = new Date('0099-12-31T23:59:59.999Z')
      const given = { id: 'm', role: 'tool', content, metadata: { nested: { deep: [[[]]] } }, createdAt }
      const stored = await messages.append(name(), given)
      assert.deepEqual(stored, { ...given, sessionId: name(), seq: 1 })
      assert.deepEqual(await messages.get(name(), 'm'), stored)
    },
  ),

  async 'append() stores many messages in their order'({ storage: { sessions, messages }, name }) {
    const inputs = times(1000, (i) => user(`${i}`, `m${(i * 7919) % 1000}`))
    const stored = await messages.append(name(), inputs)
    assert.deepEqual(
      stored.map(({ id, content }) => [id, content]),
      inputs.map(({ id, content }) => [id, content]),
    )
    assert.deepEqual(
      stored.map(({ seq }) => seq),
      times(1000, (i) => i + 1),
    )
    assert.deepEqual((await messages.list(name(), { limit: 1000 })).items, stored)
    assert.deepEqual(await messages.append(name('empty'), []), [])
    assert.equal(await sessions.get(name('empty')), undefined)
  },

  async 'append() orders messages by arrival, not by createdAt'({ storage: { messages }, name }) {
    for (const year of ['2030', '2010', '2020']) {
      await messages.append(name(), { ...user(year), createdAt: new Date(`${year}-01-01T00:00:00Z`) })
    }
    const { items } = await messages.list(name())
    assert.deepEqual(
      items.map(({ content, seq }) => [content, seq]),
      [
        ['2030', 1],
        ['2010', 2],
        ['2020', 3],
      ],
    )
  },

  async 'append() changes nothing when it is repeated with the same ids'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const id = name()
    const inputs = times(70, (i) => user(`${i}`, `m${i}`))
    const stored = await messages.append(id, inputs)
    const summary = await sessions.summary(id)
    clock.advance(60)
    assert.deepEqual(await messages.append(id, inputs), stored)
    assert.deepEqual(await messages.append(id, user('another text', 'm3')), stored[3])
    const again = await Promise.all(times(10, () => messages.append(id, inputs)))
    for (const result of again) assert.deepEqual(result, stored)
    assert.deepEqual(await sessions.summary(id), summary)
    assert.deepEqual((await messages.list(id, { limit: 1000 })).items, stored)
    assert.equal((await messages.append(id, user('next'))).seq, 71)
  },

  async 'append() stores only the new messages if some ids exist'({ storage: { sessions, messages }, name }) {
    const id = name()
    const [a, b] = await messages.append(id, [user('a', 'a'), user('b', 'b')])
    const mixed = await messages.append(id, [user('new', 'c'), user('x', 'b'), user('new', 'd'), user('x', 'a')])
    assert.deepEqual([mixed[1], mixed[3]], [b, a])
    const { items } = await messages.list(id)
    assert.deepEqual(
      items.map((message) => message.id),
      ['a', 'b', 'c', 'd'],
    )
    const { lastSeq, messageCount } = (await sessions.summary(id)) ?? {}
    assert.deepEqual([lastSeq, messageCount], [items[3]?.seq, 4])
    assert.ok((await messages.append(id, user('e'))).seq > Number(lastSeq))
  },

  async 'append() leaves a message with the same id in another session alone'({ storage: { messages }, name }) {
    const first = await messages.append(name('a'), user('of a', 'same'))
    const second = await messages.append(name('b'), user('of b', 'same'))
    assert.deepEqual([second.sessionId, second.content], [name('b'), 'of b'])
    assert.deepEqual(await messages.get(name('a'), 'same'), first)
    await messages.update(name('b'), 'same', { content: 'changed' })
    assert.deepEqual(await messages.get(name('a'), 'same'), first)
    await messages.clear(name('b'))
    assert.deepEqual(await messages.list(name('a')), { items: [first] })
  },

  async 'append() allocates seqs without gap or repeat when many run at once'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name() // created by the first to arrive
    const results = await Promise.all(
      times(60, (i) =>
        i % 3 === 0
          ? messages.append(
              id,
              times(3, () => user(`${i}`)),
            )
          : messages.append(id, user('1')),
      ),
    )
    for (const batch of results.filter(Array.isArray)) {
      const first = batch[0].seq
      assert.deepEqual(
        batch.map(({ seq }: { seq: number }) => seq),
        [first, first + 1, first + 2],
      )
    }
    const seqs = results.flat().map(({ seq }) => seq)
    assert.deepEqual(
      seqs.toSorted((a, b) => a - b),
      times(100, (i) => i + 1),
    )
    const { lastSeq, messageCount } = (await sessions.summary(id)) ?? {}
    assert.deepEqual([lastSeq, messageCount], [100, 100])
  },

  async 'list() pages in both orders, within after and before'({ storage: { messages }, name }) {
    const id = name()
    await messages.append(
      id,
      times(25, (i) => user(`${i + 1}`)),
    )
    await messages.append(
      name('other'),
      times(5, () => user('other')),
    )
    const seqs = async (options: Parameters<typeof messages.list>[1], limit = 1000) =>
      (await allPages((page) => messages.list(id, { ...options, ...page }), limit)).map(({ seq }) => seq)
    const all = times(25, (i) => i + 1)
    for (const limit of [1, 6, 24, 25, 26]) {
      assert.deepEqual(await seqs({}, limit), all)
      assert.deepEqual(await seqs({ order: 'asc' }, limit), all)
      assert.deepEqual(await seqs({ order: 'desc' }, limit), all.toReversed())
      assert.deepEqual(await seqs({ after: 5, before: 21 }, limit), all.slice(5, 20))
      assert.deepEqual(await seqs({ after: 5, before: 21, order: 'desc' }, limit), all.slice(5, 20).toReversed())
    }
    assert.deepEqual(await seqs({ after: 25 }), [])
    assert.deepEqual(await seqs({ after: 3, before: 4 }), [])
    const far = Number.MAX_SAFE_INTEGER
    assert.deepEqual(await seqs({ after: 0, before: far }), all)
    assert.deepEqual(await seqs({ after: far }), [])
    assert.deepEqual(await seqs({ after: 2 ** 31, order: 'desc' }), [])
    assert.deepEqual(await messages.list(id, { cursor: '9999999999' }), { items: [] })
    await messages.append(
      name('long'),
      times(51, (i) => user(`${i}`)),
    )
    assert.equal((await messages.list(name('long'))).items.length, 50)
    assert.deepEqual(await messages.list(name('absent')), { items: [] })
  },

  async 'list() continues at the same message if others are appended meanwhile'({ storage: { messages }, name }) {
    await messages.append(
      name(),
      times(10, (i) => user(`${i + 1}`)),
    )
    const { items, nextCursor: cursor } = await messages.list(name(), { order: 'desc', limit: 4 })
    await messages.append(
      name(),
      times(3, () => user('new')),
    )
    const next = await messages.list(name(), { order: 'desc', limit: 4, cursor })
    assert.deepEqual(
      [...items, ...next.items].map(({ seq }) => seq),
      [10, 9, 8, 7, 6, 5, 4, 3],
    )
  },

  async 'latest() returns the newest messages in the order of their appends'({ storage: { messages }, name }) {
    await messages.append(
      name(),
      times(10, (i) => user(`${i + 1}`)),
    )
    const latest = async (count: number) => (await messages.latest(name(), count)).map(({ seq }) => seq)
    assert.deepEqual(await latest(3), [8, 9, 10])
    assert.deepEqual(await latest(1), [10])
    assert.deepEqual(
      await latest(1000),
      times(10, (i) => i + 1),
    )
    assert.deepEqual(await messages.latest(name('absent'), 5), [])
  },

  async 'iterate() yields all messages, and those appended meanwhile'({ storage: { messages }, name }) {
    await messages.append(
      name(),
      times(30, (i) => user(`${i + 1}`)),
    )
    for (const batchSize of [undefined, 1, 7, 30, 1000]) {
      const yielded: number[] = []
      for await (const { seq } of messages.iterate(name(), { batchSize })) yielded.push(seq)
      assert.deepEqual(
        yielded,
        times(30, (i) => i + 1),
      )
    }
    const yielded: number[] = []
    for await (const { seq } of messages.iterate(name(), { batchSize: 10 })) {
      if (seq === 5) await messages.append(name(), user('31'))
      yielded.push(seq)
      if (seq === 31) break
    }
    assert.equal(yielded.length, 31)
    for await (const { id } of messages.iterate(name('absent'))) assert.fail(`yielded ${id}`)
  },

  async 'get() finds a message only in its session'({ storage: { messages }, name }) {
    await messages.append(name('a'), user('x', 'm'))
    assert.equal(await messages.get(name('b'), 'm'), undefined)
    assert.equal(await messages.get(name('a'), 'M'), undefined)
    await refused(messages.update(name('b'), 'm', { content: 'x' }), 'NOT_FOUND')
  },
}
