import assert from 'node:assert/strict'
import type { MessagePut } from '../repositories/messages/types.ts'
import { type Cases, eachInput, invalid, refused, shown, times } from './contract.ts'

const user = (id: string, content = id): MessagePut => ({ id, role: 'user', content })

/** `storage.messages`: put, replace, delete, and the reads by id. */
export const messageReplacementCases: Cases = {
  async 'put() appends what is new, replaces what differs and leaves the rest'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const id = name()
    const first = await messages.put(id, [user('a'), { ...user('b'), metadata: { z: 1, a: 2 } }, user('c')])
    assert.deepEqual(
      first.map(({ seq }) => seq),
      [1, 2, 3],
    )
    clock.advance(60)
    const second = await messages.put(id, [user('c', 'changed'), { ...user('b'), metadata: { z: 1, a: 2 } }, user('d')])
    assert.deepEqual(second, [
      { ...first[2], content: 'changed' },
      first[1],
      { ...first[0], seq: 4, id: 'd', content: 'd', createdAt: clock.now() },
    ])
    const { items } = await messages.list(id)
    assert.deepEqual(items, [first[0], first[1], second[0], second[2]])
    const { messageCount, lastSeq, lastActiveAt } = (await sessions.summary(id)) ?? {}
    assert.deepEqual(
      { messageCount, lastSeq, lastActiveAt },
      { messageCount: 4, lastSeq: 4, lastActiveAt: clock.now() },
    )
    clock.advance(60)
    const again = second.map(({ id: known, role, content, metadata }) => ({ id: known, role, content, metadata }))
    assert.deepEqual(await messages.put(id, again), second)
    assert.deepEqual(await messages.put(id, []), [])
    assert.deepEqual((await sessions.summary(id))?.lastActiveAt, lastActiveAt)
    assert.equal((await sessions.get(id))?.version, 1)
  },

  ...eachInput<[was: Partial<MessagePut>, is: Partial<MessagePut>]>(
    [
      [{ role: 'user' }, { role: 'tool' }],
      [{ content: null }, { content: 'null' }],
      [{ content: 'null' }, { content: null }],
      [{ content: '' }, { content: null }],
      [{ content: [] }, { content: '[]' }],
      [
        { role: 'a\n"b"', content: 'c' },
        { role: 'a', content: 'b' },
      ],
      [{ content: [{ type: 'x', a: 1, b: 2 }] }, { content: [{ type: 'x', b: 2, a: 1 }] }],
      [{ metadata: { a: 1 } }, { metadata: {} }],
      [{ content: '\0' }, { content: '\ud800' }],
      [{ content: '東京' }, { content: '東亰' }],
    ],
    ([was, is]) => `put() tells ${shown(was)} from ${shown(is)}`,
    async ([was, is], { storage: { messages }, name }) => {
      for (const fields of [was, is, was]) {
        const [stored] = await messages.put(name(), [{ ...user('m'), ...fields }])
        assert.deepEqual(stored && { ...stored, ...fields }, stored)
        assert.deepEqual(await messages.get(name(), 'm'), stored)
      }
    },
  ),

  async 'put() stores each message once when many store the same conversation at once'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name()
    const chat = times(30, (i) => user(`m${i}`))
    await Promise.all(times(8, (i) => messages.put(id, chat.slice(0, 2 + 4 * i))))
    const { items } = await messages.list(id)
    assert.deepEqual(items.map((message) => message.id).toSorted(), chat.map((message) => message.id).toSorted())
    assert.equal((await sessions.summary(id))?.messageCount, 30)
  },

  async 'put() starts again in place of an expired session, and in a transaction'({ storage, name, clock }) {
    const { sessions, messages } = storage
    await sessions.create({ id: name(), expiresAt: clock.after(60) })
    await messages.put(name(), [user('a'), user('b')])
    clock.advance(61)
    const [stored] = await messages.put(name(), [user('b', 'new')])
    assert.equal(stored?.seq, 1)
    await storage.transaction(async (tx) => {
      await tx.messages.put(name(), [user('b', 'newer'), user('c')])
      assert.equal((await tx.messages.latest(name(), 5)).length, 2)
    })
    assert.deepEqual(
      (await messages.list(name())).items.map(({ content }) => content),
      ['newer', 'c'],
    )
  },

  async 'put() rejects a message without an id, an id given twice and too many messages'({ storage, name }) {
    const { sessions, messages } = storage
    await invalid(messages.put(name(), [{ role: 'user', content: 'x' } as MessagePut]), 'messages.0.id')
    await invalid(messages.put(name(), [user('a'), user('b'), user('a')]), 'messages.2.id')
    const tooMany = times(1001, (i) => user(`m${i}`))
    await invalid(messages.put(name(), tooMany), 'messages')
    await invalid(messages.put('', [user('a')]), 'sessionId')
    assert.equal(await sessions.get(name()), undefined)
  },

  async 'replace() without throughSeq replaces the end, and its messages get new seqs'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name()
    const stored = await messages.append(
      id,
      times(5, (i) => user(`m${i + 1}`)),
    )
    const replaced = await messages.replace(id, { afterSeq: 3, expectLastSeq: 5 }, [user('m4', 'again'), user('new')])
    assert.deepEqual(
      replaced.map(({ seq, content }) => [seq, content]),
      [
        [6, 'again'],
        [7, 'new'],
      ],
    )
    assert.deepEqual((await messages.list(id)).items, [...stored.slice(0, 3), ...replaced])
    assert.deepEqual(await messages.replace(id, { afterSeq: 6 }, []), [])
    const { messageCount, lastSeq } = (await sessions.summary(id)) ?? {}
    assert.deepEqual([messageCount, lastSeq], [4, 7])
    assert.equal((await sessions.get(id))?.version, 1)
  },

  async 'replace() with throughSeq keeps what follows, and its messages take the last places'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name()
    await messages.append(
      id,
      times(6, (i) => user(`m${i + 1}`)),
    )
    await messages.replace(id, { afterSeq: 0, throughSeq: 4, expectLastSeq: 6 }, [user('summary'), user('m2')])
    const { items } = await messages.list(id)
    assert.deepEqual(
      items.map((message) => [message.seq, message.id]),
      [
        [3, 'summary'],
        [4, 'm2'],
        [5, 'm5'],
        [6, 'm6'],
      ],
    )
    assert.equal((await sessions.summary(id))?.messageCount, 4)
    assert.equal((await messages.append(id, user('next'))).seq, 7)
    await invalid(
      messages.replace(
        id,
        { afterSeq: 2, throughSeq: 4 },
        times(3, (i) => user(`x${i}`)),
      ),
      'messages',
    )
    await invalid(messages.replace(id, { afterSeq: 4, throughSeq: 3 }, []), 'options.throughSeq')
    await invalid(messages.replace(id, { afterSeq: 0, throughSeq: 8 }, [user('x')]), 'options.throughSeq')
    await invalid(messages.replace(name('absent'), { afterSeq: 0, throughSeq: 1 }, [user('x')]), 'options.throughSeq')
    assert.equal((await messages.list(id)).items.length, 5)
  },

  async 'replace() changes nothing when the newest message is another one, and names both seqs'({
    storage: { messages },
    name,
  }) {
    const id = name()
    await messages.append(id, [user('a'), user('b'), user('c')])
    await messages.pop(id)
    for (const range of [{ afterSeq: 0 }, { afterSeq: 0, throughSeq: 1 }]) {
      const call = messages.replace(id, { ...range, expectLastSeq: 3 }, [user('x')])
      await assert.rejects(call, { code: 'VERSION_CONFLICT', details: { id, expected: 3, actual: 2 } })
    }
    assert.equal((await messages.list(id)).items.length, 2)
    const fresh = messages.replace(name('fresh'), { afterSeq: 0, expectLastSeq: 1 }, [user('x')])
    await assert.rejects(fresh, { code: 'VERSION_CONFLICT', details: { id: name('fresh'), expected: 1, actual: 0 } })
    assert.equal((await messages.replace(name('fresh'), { afterSeq: 0, expectLastSeq: 0 }, [user('x')]))[0]?.seq, 1)
  },

  async 'replace() writes nothing into a session that is absent or has expired, in a scope as well'({
    storage,
    name,
    clock,
  }) {
    for (const { sessions, messages } of [storage, storage.scope({ ownerId: name('ada') })]) {
      await messages.append(name('gone'), [user('a'), user('b')])
      await sessions.update(name('gone'), { expiresAt: clock.after(60) })
      clock.advance(61)
      for (const id of [name('gone'), name('absent')]) {
        const inside = { afterSeq: 0, throughSeq: 2 }
        await invalid(messages.replace(id, inside, [user('c')]), 'options.throughSeq')
        assert.deepEqual(await messages.list(id), { items: [] })
      }
    }
  },

  async 'replace() returns what is stored when it is repeated'({ storage: { messages }, name }) {
    const id = name()
    await messages.append(id, [user('a'), user('b'), user('c')])
    const end = () => messages.replace(id, { afterSeq: 1, expectLastSeq: 3 }, [user('d'), user('e')])
    const inside = () => messages.replace(id, { afterSeq: 0, throughSeq: 4, expectLastSeq: 5 }, [user('s')])
    assert.deepEqual(await end(), await end())
    assert.deepEqual(await inside(), await inside())
    assert.deepEqual(
      (await messages.list(id)).items.map((message) => message.id),
      ['s', 'e'],
    )
    await refused(messages.replace(id, { afterSeq: 4 }, [user('s')]), 'ALREADY_EXISTS')
  },

  async 'replace() accepts one of two that have read the same end'({ storage: { messages }, name }) {
    const id = name()
    let last = await messages.append(id, user('first'))
    for (let round = 0; round < 10; round++) {
      const options = { afterSeq: last.seq - 1, expectLastSeq: last.seq }
      const outcomes = await Promise.allSettled(
        times(4, (i) => messages.replace(id, options, [user(`r${round}-${i}`), user(`s${round}-${i}`)])),
      )
      const accepted = outcomes.filter(({ status }) => status === 'fulfilled')
      assert.equal(accepted.length, 1)
      last = (await messages.latest(id, 1))[0] ?? last
    }
    assert.equal((await messages.list(id)).items.length, 11)
  },

  async 'delete() removes messages from the middle, and counts those that were there'({
    storage: { sessions, messages },
    name,
  }) {
    const id = name()
    await messages.append(
      id,
      times(200, (i) => user(`m${i}`)),
    )
    const removed = times(90, (i) => `m${2 * i}`)
    assert.equal(await messages.delete(id, ['absent', ...removed, 'm2']), 90)
    assert.equal(await messages.delete(id, removed), 0)
    assert.equal(await messages.delete(id, []), 0)
    assert.equal(await messages.delete(name('absent'), ['m1']), 0)
    assert.equal(await sessions.get(name('absent')), undefined)
    const { messageCount, lastSeq } = (await sessions.summary(id)) ?? {}
    assert.deepEqual([messageCount, lastSeq], [110, 200])
    assert.equal((await messages.list(id, { limit: 1000 })).items.length, 110)
    await invalid(messages.delete(id, ['']), 'ids.0')
    await invalid(messages.delete(id, times(1001, String)), 'ids')
  },

  async 'getMany() returns messages in the order of the ids'({ storage: { messages }, name }) {
    const stored = await messages.append(
      name(),
      times(80, (i) => user(`m${i}`)),
    )
    const ids = stored.map(({ id }) => id).reverse()
    assert.deepEqual(await messages.getMany(name(), ['absent', ...ids, 'm3']), stored.toReversed())
    assert.deepEqual(await messages.getMany(name(), []), [])
    assert.deepEqual(await messages.getMany(name('absent'), ['m1']), [])
    await invalid(messages.getMany(name(), times(1001, String)), 'ids')
    await invalid(messages.getMany(name(), ['a', '']), 'ids.1')
  },

  async 'find() returns messages by their ids alone, those of the session created last'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const [m0, m1, m2] = [name('m0'), name('m1'), name('m2')]
    const stored = await messages.append(name('one'), [user(m0), user(m1), user(name('other'))])
    clock.advance(1)
    const [second] = await messages.append(name('two'), [user(m2)])
    assert.deepEqual(await messages.find([m2, name('absent'), m0, m2, m1]), [second, stored[0], stored[1]])
    assert.deepEqual(await messages.find([]), [])
    clock.advance(1)
    await sessions.fork(name('one'), { id: name('copy'), throughSeq: 1 })
    const found = await messages.find([m1, m0])
    assert.deepEqual(
      found.map(({ sessionId, id }) => [sessionId, id]),
      [
        [name('one'), m1],
        [name('copy'), m0],
      ],
    )
    await sessions.create({ id: name('expired'), expiresAt: clock.after(1) })
    await messages.append(name('expired'), user(m2))
    clock.advance(2)
    assert.deepEqual(await messages.find([m2]), [second])
    await messages.delete(name('two'), [m2])
    assert.deepEqual(await messages.find([m2]), [])
    await invalid(messages.find(times(1001, String)), 'ids')
    await invalid(messages.find(['a', '']), 'ids.1')
  },

  async 'countByDay() counts by the time of each message, whatever its session did on that day'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const today = clock.now()
    const at = (daysAgo: number) => new Date(today.getTime() - daysAgo * 86_400_000)
    const before = (await messages.countByDay({ days: 5 })).days.map((each) => each.messages)
    const created = [0, 4, 1, 9, 1, -3].map((daysAgo, i) => ({ ...user(`m${i}`), createdAt: at(daysAgo) }))
    await messages.append(name(), created)
    await messages.delete(name(), ['m0'])
    await sessions.fork(name(), { id: name('copy'), throughSeq: 3 })
    await sessions.create({ id: name('expired'), expiresAt: clock.after(1) })
    await messages.append(name('expired'), user('gone'))
    clock.advance(2)
    const { days, complete, missingThrough } = await messages.countByDay({ days: 5 })
    assert.deepEqual({ complete, missingThrough }, { complete: true, missingThrough: undefined })
    assert.deepEqual(
      days.map(({ day }) => day),
      times(5, (i) =>
        at(4 - i)
          .toISOString()
          .slice(0, 10),
      ),
    )
    const counts = days.map((each, i) => each.messages - (before[i] ?? 0))
    assert.deepEqual(counts, [2, 0, 0, 3, 0])
    assert.equal((await messages.countByDay()).days.length, 30)
    for (const bad of [0, 367, 0.5]) await invalid(messages.countByDay({ days: bad }), 'options.days')
    for (const bad of [0, 60_001]) await invalid(messages.countByDay({ timeoutMillis: bad }), 'options.timeoutMillis')
  },

  async 'around() returns a message with its neighbours'({ storage: { messages }, name }) {
    const stored = await messages.append(
      name(),
      times(30, (i) => user(`m${i}`)),
    )
    const around = (id: string, before?: number, after?: number) => messages.around(name(), id, { before, after })
    assert.deepEqual(await around('m10', 2, 3), stored.slice(8, 14))
    assert.deepEqual(await around('m0', 2, 0), stored.slice(0, 1))
    assert.deepEqual(await around('m29', 0, 1000), stored.slice(29))
    assert.deepEqual(await messages.around(name(), 'm15'), stored.slice(5, 26))
    assert.deepEqual(await around('absent'), [])
    assert.deepEqual(await messages.around(name('absent'), 'm1'), [])
    for (const bad of [-1, 1001, 0.5]) {
      await invalid(around('m1', bad), 'options.before')
      await invalid(around('m1', 0, bad), 'options.after')
    }
  },
}
