import assert from 'node:assert/strict'
import type { MessageInput } from '../repositories/messages/types.ts'
import { badCursors, type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

const user = (content: string, id?: string): MessageInput => ({ id, role: 'user', content })

/** `storage.messages`: update, remove, and the input that is rejected. */
export const messageChangeCases: Cases = {
  async 'update() changes the given fields and leaves the others'({ storage: { sessions, messages }, name }) {
    const input = { id: 'm', role: 'assistant', content: 'old', metadata: { kept: true } }
    const stored = await messages.append(name(), input)
    const summary = await sessions.summary(name())
    const updated = await messages.update(name(), 'm', { content: [{ type: 'text', text: 'new' }], role: undefined })
    assert.deepEqual(updated, { ...stored, content: [{ type: 'text', text: 'new' }] })
    const emptied = await messages.update(name(), 'm', { content: null, role: 'tool', metadata: { z: 1, a: 2 } })
    assert.deepEqual(emptied, { ...stored, content: null, role: 'tool', metadata: { z: 1, a: 2 } })
    assert.deepEqual(await messages.update(name(), 'm', {}), emptied)
    assert.deepEqual(await messages.get(name(), 'm'), emptied)
    assert.deepEqual(await sessions.summary(name()), summary)
    await refused(messages.update(name(), 'absent', { content: 'x' }), 'NOT_FOUND')
    await refused(messages.update(name(), 'absent', {}), 'NOT_FOUND')
  },

  async 'pop() removes the newest message, whose seq is not used again'({ storage: { sessions, messages }, name }) {
    const stored = await messages.append(name(), [user('1', 'a'), user('2', 'b')])
    assert.deepEqual(await messages.pop(name()), stored[1])
    assert.equal((await messages.append(name(), user('3', 'b'))).seq, 3)
    const { lastSeq, messageCount } = (await sessions.summary(name())) ?? {}
    assert.deepEqual([lastSeq, messageCount], [3, 2])
    assert.equal((await messages.pop(name()))?.seq, 3)
    assert.deepEqual(await messages.pop(name()), stored[0])
    assert.equal(await messages.pop(name()), undefined)
    assert.equal(await messages.pop(name('absent')), undefined)
    assert.equal(await sessions.get(name('absent')), undefined)
    assert.equal((await sessions.summary(name()))?.messageCount, 0)
    assert.equal((await messages.append(name(), user('4'))).seq, 4)
  },

  async 'pop() returns each message to one caller when many run at once'({ storage: { sessions, messages }, name }) {
    await messages.append(
      name(),
      times(20, (i) => user(`${i}`)),
    )
    const popped = await Promise.all(times(25, () => messages.pop(name())))
    const seqs = popped.flatMap((message) => message?.seq ?? [])
    assert.deepEqual(
      seqs.toSorted((a, b) => a - b),
      times(20, (i) => i + 1),
    )
    assert.equal((await sessions.summary(name()))?.messageCount, 0)
  },

  async 'truncate() and clear() return the number removed, and reuse no seq'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name()
    await messages.append(
      id,
      times(10, (i) => user(`${i + 1}`)),
    )
    await messages.append(name('other'), user('other'))
    assert.equal(await messages.truncate(id, { afterSeq: 10 }), 0)
    assert.equal(await messages.truncate(id, { afterSeq: Number.MAX_SAFE_INTEGER }), 0)
    assert.equal(await messages.truncate(id, { afterSeq: 6 }), 4)
    assert.equal(await messages.truncate(id, { afterSeq: 6 }), 0)
    const { items } = await messages.list(id)
    assert.deepEqual(
      items.map(({ seq }) => seq),
      times(6, (i) => i + 1),
    )
    const { lastSeq, messageCount } = (await sessions.summary(id)) ?? {}
    assert.deepEqual([lastSeq, messageCount], [10, 6])
    assert.equal((await messages.append(id, user('11'))).seq, 11)
    assert.equal(await messages.clear(id), 7)
    assert.equal(await messages.clear(id), 0)
    assert.equal(await messages.clear(name('absent')), 0)
    assert.equal((await sessions.summary(id))?.messageCount, 0)
    assert.equal((await messages.append(id, user('12'))).seq, 12)
    assert.equal((await messages.list(name('other'))).items.length, 1)
  },

  async 'summary() counts correctly after removals and appends at once'({ storage: { sessions, messages }, name }) {
    const id = name()
    await messages.append(
      id,
      times(10, () => user('x')),
    )
    await Promise.all(
      times(40, (i) => {
        if (i % 8 === 0) return messages.truncate(id, { afterSeq: i })
        return i % 2 === 0 ? messages.pop(id) : messages.append(id, [user('x'), user('y')])
      }),
    )
    const { items } = await messages.list(id, { limit: 1000 })
    assert.equal((await sessions.summary(id))?.messageCount, items.length)
    assert.equal((await messages.append(id, user('last'))).seq, 51)
  },

  ...eachInput<[field: string, value: unknown, path?: string]>(
    [
      ['role', ''],
      ['role', 'a\0'],
      ['role', '\ud800'],
      ['role', 'x'.repeat(101)],
      ['content', 5],
      ['content', { type: 'text' }],
      ['content', ['text'], 'content.0'],
      ['content', [{ type: 'text' }, { text: 'no type' }], 'content.1'],
      ['content', [{ type: 5 }], 'content.0'],
      ['content', [{ type: 'x', data: [{ n: Number.POSITIVE_INFINITY }] }], 'content.0.data.0.n'],
      ['content', [{ type: 'x', data: new Uint8Array(1) }], 'content.0.data'],
      ['content', [{ type: 'x', data: new Map() }], 'content.0.data'],
      ['metadata', null],
      ['metadata', 'text'],
      ['metadata', { a: { b: Symbol('s') } }, 'metadata.a.b'],
    ],
    ([field, value]) => `append() and update() reject the ${field} ${shown(value)}`,
    async ([field, value, path = field], { storage: { sessions, messages }, name }) => {
      const stored = await messages.append(name(), { ...user('before', 'm'), metadata: { a: 1 } })
      const before = await sessions.summary(name())
      const message = { ...user('x'), [field]: value } as MessageInput // what a program without types may pass
      await invalid(messages.append(name(), message), `message.${path}`)
      await invalid(messages.append(name(), [user('fine'), message]), `messages.1.${path}`)
      await invalid(messages.update(name(), 'm', { [field]: value }), `patch.${path}`)
      assert.deepEqual(await messages.list(name()), { items: [stored] })
      assert.deepEqual(await sessions.summary(name()), before)
    },
  ),

  ...eachInput(
    [new Date(Number.NaN), new Date(-1e15)],
    (createdAt) => `append() rejects the createdAt ${shown(createdAt)}`,
    async (createdAt, { storage: { messages }, name }) => {
      await invalid(messages.append(name(), { ...user('x'), createdAt }), 'message.createdAt')
      assert.deepEqual(await messages.list(name()), { items: [] })
    },
  ),

  ...eachInput(
    ['', '\0', '\udc00', 'x'.repeat(256), 'ü'.repeat(128), null as unknown as string],
    (id) => `every call rejects the id ${shown(id)}`,
    async (id, { storage: { messages }, name }) => {
      await invalid(messages.append(id, user('x')), 'sessionId')
      await invalid(messages.list(id), 'sessionId')
      await invalid(messages.latest(id, 1), 'sessionId')
      await invalid(messages.iterate(id).next(), 'sessionId')
      await invalid(messages.get(id, 'm'), 'sessionId')
      await invalid(messages.update(id, 'm', {}), 'sessionId')
      await invalid(messages.pop(id), 'sessionId')
      await invalid(messages.clear(id), 'sessionId')
      await invalid(messages.get(name(), id), 'id')
      await invalid(messages.update(name(), id, {}), 'id')
      await invalid(messages.append(name(), user('x', id)), 'message.id')
      assert.deepEqual(await messages.list(name()), { items: [] })
    },
  ),

  async 'append() rejects an id given twice, too many messages, and a message without content'({ storage, name }) {
    const { sessions, messages } = storage
    await invalid(messages.append(name(), { role: 'user' } as MessageInput), 'message.content')
    await invalid(messages.append(name(), [user('1', 'n'), user('2', 'o'), user('3', 'n')]), 'messages.2.id')
    const tooMany = times(1001, () => user('x'))
    await invalid(messages.append(name(), tooMany), 'messages')
    assert.equal(await sessions.get(name()), undefined)
  },

  async 'update() rejects a new id'({ storage: { messages }, name }) {
    const stored = await messages.append(name(), user('x', 'm'))
    await invalid(messages.update(name(), 'm', { id: 'n' } as object), 'patch.id')
    assert.deepEqual(await messages.list(name()), { items: [stored] })
  },

  async 'list(), latest(), iterate() and truncate() reject numbers out of range'({ storage: { messages }, name }) {
    const stored = await messages.append(name(), user('x'))
    for (const bad of [0, 1001, 2.5, 2 ** 53]) {
      await invalid(messages.list(name(), { limit: bad }), 'options.limit', `limit ${bad}`)
      await invalid(messages.latest(name(), bad), 'count', `count ${bad}`)
      const first = messages.iterate(name(), { batchSize: bad }).next()
      await invalid(first, 'options.batchSize', `batchSize ${bad}`)
    }
    for (const bad of [-1, 0.5, 2 ** 53, Number.NaN]) {
      await invalid(messages.list(name(), { after: bad }), 'options.after', `after ${bad}`)
      await invalid(messages.list(name(), { before: bad }), 'options.before', `before ${bad}`)
      await invalid(messages.truncate(name(), { afterSeq: bad }), 'options.afterSeq', `afterSeq ${bad}`)
    }
    await invalid(messages.truncate(name(), undefined as unknown as { afterSeq: number }), 'options')
    assert.deepEqual(await messages.list(name()), { items: [stored] })
  },

  async 'list() rejects cursors that it did not return'({ storage: { messages }, name }) {
    await badCursors((cursor) => messages.list(name(), { cursor }))
  },

  async 'replace() refuses other contents for the ids of an earlier call'({ storage: { messages }, name }) {
    const id = name()
    await messages.append(id, [user('a', 'a'), user('b', 'b')])
    const replace = (range: { throughSeq?: number }, content: string) =>
      messages.replace(id, { afterSeq: 1, expectLastSeq: 2, ...range }, [user(content, 'b')])
    await replace({}, 'first')
    for (const range of [{}, { throughSeq: 3 }]) {
      await assert.rejects(replace(range, 'second'), {
        code: 'VERSION_CONFLICT',
        details: { id, expected: 2, actual: 3 },
      })
    }
    assert.equal((await messages.get(id, 'b'))?.content, 'first')
  },
}
