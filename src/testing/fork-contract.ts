import assert from 'node:assert/strict'
import { type Cases, eachInput, refused, times } from './contract.ts'

/** `storage.sessions.fork`. */
export const forkCases: Cases = {
  async 'fork() copies the conversation, after which both change independently'({
    storage: { sessions, messages },
    name,
    clock,
  }) {
    const [id, copy] = [name('original'), name('copy')]
    const expiresAt = clock.after(3600)
    await sessions.create({ id, title: 'title', ownerId: name('owner'), metadata: { z: 1, a: '\u0000' }, expiresAt })
    await messages.append(
      id,
      times(5, (i) => ({ id: `m${i}`, role: 'user', content: [{ type: 'text', text: `${i}` }], metadata: { i } })),
    )
    await messages.pop(id)
    await sessions.update(id, { title: 'newer' })
    const original = await sessions.summary(id)
    clock.advance(60)
    const forked = await sessions.fork(id, { id: copy })
    const now = clock.now()
    assert.deepEqual(forked, {
      ...original,
      id: copy,
      title: 'newer',
      parentId: id,
      version: 1,
      createdAt: now,
      updatedAt: now,
      lastActiveAt: now,
      lastSeq: 4,
      messageCount: 4,
    })
    assert.deepEqual(await sessions.summary(copy), forked)
    assert.deepEqual(await sessions.summary(id), original)
    const { items } = await messages.list(id)
    const ofCopy = items.map((message) => ({ ...message, sessionId: copy }))
    assert.deepEqual((await messages.list(copy)).items, ofCopy)
    assert.equal((await messages.append(copy, { role: 'user', content: 'x' })).seq, 5)
    await messages.update(copy, 'm0', { content: 'changed' })
    await messages.truncate(copy, { afterSeq: 1 })
    assert.deepEqual((await messages.list(id)).items, items)
    assert.equal(await sessions.delete(id), true)
    assert.equal((await sessions.get(copy))?.parentId, id)
    assert.equal((await messages.get(copy, 'm0'))?.content, 'changed')
  },

  ...eachInput(
    [
      [0, 0],
      [1, 1],
      [3, 3],
      [5, 5],
      [2 ** 31, 5],
      [Number.MAX_SAFE_INTEGER, 5],
    ] as const,
    ([throughSeq, count]) => `fork() copies ${count} of 5 messages if throughSeq is ${throughSeq}`,
    async ([throughSeq, count], { storage: { sessions, messages }, name }) => {
      await messages.append(
        name(),
        times(5, (i) => ({ id: `m${i}`, role: 'user', content: `${i}` })),
      )
      const { id, lastSeq, messageCount } = await sessions.fork(name(), { throughSeq })
      assert.deepEqual({ lastSeq, messageCount }, { lastSeq: count, messageCount: count })
      assert.equal((await messages.list(id)).items.length, count)
    },
  ),

  async 'forks() returns the forks of a session alone, a page at a time'({ storage: { sessions }, name, clock }) {
    await sessions.create({ id: name() })
    for (const id of ['a', 'b', 'c']) {
      clock.advance(1)
      await sessions.fork(name(), { id: name(id) })
    }
    await sessions.fork(name('a'), { id: name('below') })
    const forksOf = async (id: string, options = {}) => {
      const { items, nextCursor } = await sessions.forks(id, options)
      return { ids: items.map((fork) => fork.id), nextCursor }
    }
    const { ids, nextCursor: cursor } = await forksOf(name(), { limit: 2 })
    assert.deepEqual(ids, [name('a'), name('b')])
    assert.deepEqual(await forksOf(name(), { limit: 2, cursor }), { ids: [name('c')], nextCursor: undefined })
    assert.deepEqual((await sessions.forks(name('a'))).items, [await sessions.summary(name('below'))])
    await sessions.update(name('b'), { expiresAt: clock.after(1) })
    clock.advance(2)
    assert.deepEqual((await forksOf(name())).ids, [name('a'), name('c')])
    assert.deepEqual((await forksOf(name('absent'))).ids, [])
    await sessions.delete(name())
    assert.deepEqual((await forksOf(name())).ids, [])
    await refused(sessions.forks(name('a'), { cursor: 'nonsense' }), 'INVALID_INPUT')
  },

  async 'fork() keeps the title unless another is given'({ storage: { sessions }, name }) {
    await sessions.create({ id: name(), title: 'title' })
    assert.equal((await sessions.fork(name())).title, 'title')
    assert.equal((await sessions.fork(name(), { title: 'branch' })).title, 'branch')
    assert.equal((await sessions.fork(name(), { title: null })).title, null)
  },

  async 'fork() rejects if there is no original or the new id is taken'({ storage: { sessions, messages }, name }) {
    await refused(sessions.fork(name('absent'), { id: name('copy') }), 'NOT_FOUND')
    assert.equal(await sessions.get(name('copy')), undefined)
    await messages.append(name(), { id: 'm', role: 'user', content: 'original' })
    await messages.append(name('taken'), { id: 'n', role: 'user', content: 'its own' })
    await messages.pop(name('taken'))
    const before = await sessions.summary(name('taken'))
    for (const id of [name('taken'), name()]) {
      await assert.rejects(sessions.fork(name(), { id }), { code: 'ALREADY_EXISTS', details: { id } })
    }
    await refused(sessions.fork(name('absent'), { id: name('taken') }), 'NOT_FOUND')
    assert.deepEqual(await sessions.summary(name('taken')), before)
    assert.deepEqual(
      (await messages.list(name('taken'))).items.map(({ id }) => id),
      [],
    )
  },

  async 'fork() copies whole appends while others append'({ storage: { sessions, messages }, name }) {
    await messages.append(name(), { role: 'user', content: 'first' })
    const [, ...forks] = await Promise.all([
      Promise.all(
        times(30, (i) =>
          messages.append(
            name(),
            times(3, () => ({ role: 'user', content: `${i}` })),
          ),
        ),
      ),
      ...times(5, () => sessions.fork(name())),
    ])
    for (const { id, lastSeq, messageCount } of forks) {
      const { items } = await messages.list(id, { limit: 1000 })
      assert.equal(items.length, messageCount)
      assert.equal(items.at(-1)?.seq, lastSeq)
      assert.equal(messageCount % 3, 1) // no append was copied in part
    }
  },
}
