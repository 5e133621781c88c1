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

  async 'once() starts again with a session that was deleted or has expired'({ storage, name, clock }) {
    const once = () => storage.transaction((tx) => tx.once(name(), 'op'))
    assert.equal(await once(), 'first')
    await storage.sessions.delete(name())
    assert.equal(await once(), 'first')
    await storage.sessions.update(name(), { expiresAt: clock.after(60) })
    clock.advance(61)
    assert.equal(await once(), 'first')
    assert.equal(await once(), 'repeated')
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
