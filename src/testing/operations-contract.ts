import assert from 'node:assert/strict'
import { type Cases, invalid, refused, signal, times } from './contract.ts'

/** `tx.once` and `tx.lockSession`. */
export const operationCases: Cases = {
  async 'once() tells the first of many transactions that do the same at once'({ storage, name }) {
    const outcomes = await Promise.all(
      times(8, () =>
        storage.transaction(async (tx) => {
          const outcome = await tx.once(name(), 'op', { text: 'x', by: [1] })
          if (outcome === 'first') await tx.messages.append(name(), { role: 'user', content: 'x' })
          return outcome
        }),
      ),
    )
    assert.deepEqual(outcomes.toSorted(), ['first', ...times(7, () => 'repeated')])
    assert.equal((await storage.messages.list(name())).items.length, 1)
    assert.equal((await storage.sessions.summary(name()))?.messageCount, 1)
  },

  async 'once() forgets the operation of a transaction that was rolled back'({ storage, name }) {
    const rolledBack = storage.transaction(async (tx) => {
      assert.equal(await tx.once(name(), 'op'), 'first')
      throw new Error('rolled back')
    })
    await assert.rejects(rolledBack, /rolled back/)
    assert.equal(await storage.sessions.get(name()), undefined)
    assert.equal(await storage.transaction((tx) => tx.once(name(), 'op')), 'first')
    assert.notEqual(await storage.sessions.get(name()), undefined)
  },

  async 'once() refuses another payload, and takes the order of keys for nothing'({ storage, name }) {
    const once = (payload: unknown, id = 'op') => storage.transaction((tx) => tx.once(name(), id, payload))
    assert.equal(await once({ a: 1, b: { d: 1, c: 2 } }), 'first')
    assert.equal(await once({ b: { c: 2, d: 1 }, a: 1 }), 'repeated')
    await refused(once({ a: 1, b: { d: 1, c: 3 } }), 'INVALID_STATE')
    await refused(once(undefined), 'INVALID_STATE')
    assert.equal(await once({ a: 2 }, 'another'), 'first')
    await invalid(once(new Date(), 'third'), 'payload')
    await invalid(once(null, ''), 'operationId')
    await invalid(
      storage.transaction((tx) => tx.once('', 'op')),
      'sessionId',
    )
  },

  async 'once() starts again with a session that was deleted or has expired, also in a scope'({
    storage,
    name,
    clock,
  }) {
    for (const { sessions, transaction } of [storage, storage.scope({ ownerId: name('owner') })]) {
      const once = (id = 'op') => transaction((tx) => tx.once(name(), id))
      assert.equal(await once(), 'first')
      await sessions.delete(name())
      assert.equal(await once(), 'first')
      for (const id of ['op', 'another']) {
        await sessions.update(name(), { title: 'old', expiresAt: clock.after(60) })
        clock.advance(61)
        assert.equal(await once(id), 'first')
        assert.equal((await sessions.get(name()))?.title, null)
        assert.equal(await once(id), 'repeated')
      }
      await sessions.delete(name())
    }
  },

  async 'messages.replace() with an operationId says what is wrong if there is no such session'({
    storage,
    name,
    clock,
  }) {
    const { sessions, messages } = storage
    const replace = (range: { throughSeq?: number; expectLastSeq?: number }, count: number) =>
      messages.replace(
        name(),
        { afterSeq: 0, operationId: 'op', ...range },
        times(count, () => ({ role: 'user', content: 'x' })),
      )
    for (const end of ['never there', 'expired']) {
      await invalid(replace({ throughSeq: 5 }, 1), 'options.throughSeq')
      await refused(replace({ expectLastSeq: 5 }, 1), 'VERSION_CONFLICT')
      assert.deepEqual(await replace({ throughSeq: 5 }, 0), [])
      if (end === 'expired') return
      await sessions.create({ id: name(), expiresAt: clock.after(60) })
      clock.advance(61)
    }
  },

  async 'messages.append() with an operationId appends once'({ storage: { sessions, messages, transaction }, name }) {
    const items = times(3, (i) => ({ role: 'user', content: `${i}` }))
    const append = (payload?: unknown) => messages.append(name(), items, { operationId: 'op', payload })
    const outcomes = await Promise.all(times(6, () => append({ a: 1 })))
    assert.deepEqual(outcomes.map(({ length }) => length).toSorted(), [0, 0, 0, 0, 0, 3])
    assert.equal((await sessions.summary(name()))?.messageCount, 3)
    await messages.clear(name())
    assert.deepEqual(await append({ a: 1 }), [])
    assert.equal((await sessions.summary(name()))?.messageCount, 0)
    await refused(append({ a: 2 }), 'INVALID_STATE')
    await refused(append(), 'INVALID_STATE')
    assert.equal(await transaction((tx) => tx.once(name(), 'op', { a: 1 })), 'repeated')
    const single = { role: 'user', content: 'x' } as unknown as []
    await invalid(messages.append(name(), single, { operationId: 'op' }), 'message')
    await invalid(messages.append(name(), [], { operationId: '' }), 'options.operationId')
  },

  async 'messages.append() with an operationId takes known messages for stored'({ storage: { messages }, name }) {
    const message = { id: 'm', role: 'user', content: 'x' }
    await messages.append(name(), message)
    const appended = await messages.append(name(), [message, { ...message, id: 'n' }], { operationId: 'op' })
    assert.deepEqual(
      appended.map(({ id, seq }) => [id, seq]),
      [
        ['m', 1],
        ['n', 2],
      ],
    )
    assert.deepEqual(await messages.append(name(), [message], { operationId: 'another' }), appended.slice(0, 1))
    assert.deepEqual(await messages.append(name(), [message], { operationId: 'another' }), [])
    assert.deepEqual(await messages.append(name('new'), [], { operationId: 'op' }), [])
    assert.equal((await messages.append(name('new'), [message]))[0]?.seq, 1)
  },

  async 'messages.replace() with an operationId replaces once'({ storage: { messages }, name }) {
    await messages.append(name(), [
      { id: 'a', role: 'user', content: 'a' },
      { id: 'b', role: 'user', content: 'b' },
    ])
    const replace = (afterSeq: number, expectLastSeq: number, operationId: string) =>
      messages.replace(name(), { afterSeq, expectLastSeq, operationId }, [{ role: 'user', content: operationId }])
    const outcomes = await Promise.all(times(5, () => replace(1, 2, 'op')))
    assert.deepEqual(outcomes.map(({ length }) => length).toSorted(), [0, 0, 0, 0, 1])
    await refused(replace(1, 2, 'late'), 'VERSION_CONFLICT')
    assert.equal((await replace(1, 3, 'late')).length, 1)
    assert.deepEqual(
      (await messages.list(name())).items.map(({ content }) => content),
      ['a', 'late'],
    )
    const inside = { afterSeq: 0, throughSeq: 1, operationId: 'inside' }
    assert.equal((await messages.replace(name(), inside, [])).length, 0)
    await messages.replace(name(), inside, [{ role: 'user', content: 'never' }])
    assert.equal((await messages.list(name())).items.length, 1)
    await messages.replace(name('new'), { afterSeq: 0, operationId: 'op' }, [])
    assert.deepEqual(await messages.replace(name('new'), { afterSeq: 0, operationId: 'op' }, []), [])
  },

  async 'lockSession() lets nobody append until the transaction ends'({ storage, name }) {
    await storage.messages.append(name(), { role: 'user', content: '1' })
    const locked = signal()
    const go = signal()
    const transaction = storage.transaction(async (tx) => {
      const session = await tx.lockSession(name())
      locked.reach()
      await go.reached
      assert.equal((await tx.messages.list(name())).items.length, session?.messageCount)
      return session
    })
    await locked.reached
    let appended = false
    const append = storage.messages.append(name(), { role: 'user', content: '2' }).then((message) => {
      appended = true
      return message
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(appended, false)
    go.reach()
    assert.deepEqual(await transaction, { ...(await storage.sessions.summary(name())), lastSeq: 1, messageCount: 1 })
    assert.equal((await append).seq, 2)
    assert.equal(await storage.transaction((tx) => tx.lockSession(name('absent'))), undefined)
    await invalid(
      storage.transaction((tx) => tx.lockSession('')),
      'sessionId',
    )
  },

  async 'once() and lockSession() of a scope know only the sessions of its owner'({ storage, name }) {
    const ada = storage.scope({ ownerId: name('ada') })
    const bob = storage.scope({ ownerId: name('bob') })
    assert.equal(await ada.transaction((tx) => tx.once('chat', 'op')), 'first')
    assert.equal(await bob.transaction((tx) => tx.lockSession('chat')), undefined)
    assert.equal(await bob.transaction((tx) => tx.once('chat', 'op', 'other')), 'first')
    assert.equal(await ada.transaction((tx) => tx.once('chat', 'op')), 'repeated')
    assert.equal((await ada.transaction((tx) => tx.lockSession('chat')))?.ownerId, name('ada'))
  },
}
