import assert from 'node:assert/strict'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import { type Cases, eachInput, failsWith, invalid, refused, shown, signal, times } from './contract.ts'

const boom = new Error('of the program')

/** The cases of `storage.transaction()`: what it does, and what other callers see meanwhile. */
export const transactionCases: Cases = {
  async 'transaction() commits its writes and returns the result of the body'({ storage, name }) {
    const result = await storage.transaction(async (tx) => {
      await tx.sessions.create({ id: name(), title: 'a' })
      await tx.messages.append(name(), { id: 'm', role: 'user', content: 'x' })
      await tx.kv.set(name(), 1)
      await tx.lists.append(name(), 1, 2)
      assert.equal((await tx.sessions.summary(name()))?.messageCount, 1)
      return [await tx.kv.get(name()), await tx.lists.length(name())]
    })
    assert.deepEqual(result, [1, 2])
    assert.equal((await storage.sessions.get(name()))?.title, 'a')
    assert.equal((await storage.messages.get(name(), 'm'))?.content, 'x')
    assert.equal(await storage.kv.get(name()), 1)
    assert.deepEqual(await storage.lists.range(name(), 0, 10), [1, 2])
  },

  async 'transaction() rolls everything back if the body throws'({ storage, name }) {
    await storage.messages.append(name('old'), { id: 'm', role: 'user', content: 'kept' })
    const failing = storage.transaction(async (tx) => {
      await tx.sessions.create({ id: name() })
      await tx.messages.append(name(), { role: 'user', content: 'x' })
      await tx.messages.update(name('old'), 'm', { content: 'changed' })
      await tx.sessions.fork(name('old'), { id: name('fork') })
      await tx.sessions.delete(name('old'))
      await tx.kv.set(name(), 1)
      await tx.lists.append(name(), 1)
      throw boom
    })
    await failsWith(failing, boom)
    for (const id of [name(), name('fork')]) assert.equal(await storage.sessions.get(id), undefined)
    assert.equal((await storage.messages.get(name('old'), 'm'))?.content, 'kept')
    assert.equal(await storage.kv.get(name()), undefined)
    assert.equal(await storage.lists.length(name()), 0)
  },

  async 'transaction() goes on after a call that was rejected and changed nothing'({ storage, name }) {
    await storage.sessions.create({ id: name() })
    await storage.transaction(async (tx) => {
      await refused(tx.sessions.create({ id: name() }), 'ALREADY_EXISTS')
      await refused(tx.sessions.fork(name(), { id: name() }), 'ALREADY_EXISTS')
      await refused(tx.sessions.update(name('absent'), {}), 'NOT_FOUND')
      await refused(tx.kv.set(name(), 1, { ifVersion: 1 }), 'VERSION_CONFLICT')
      await refused(tx.kv.set('', 1), 'INVALID_INPUT')
      await tx.kv.set(name(), 'after')
    })
    assert.equal(await storage.kv.get(name()), 'after')
  },

  ...eachInput<unknown>(
    [undefined, null, Promise.resolve()],
    (body) => `transaction() rejects the body ${shown(body)}`,
    async (body, { storage, name }) => {
      await invalid(storage.transaction(body as never), 'body')
      await storage.transaction(async (tx) => {
        await tx.kv.set(name(), 1)
        await invalid(tx.transaction(body as never), 'body')
      })
      assert.equal(await storage.kv.get(name()), 1)
    },
  ),

  async 'transaction() rolls back no write of other callers'({ storage, name }) {
    const [inside, go] = [signal(), signal()]
    const failing = storage.transaction(async (tx) => {
      await tx.kv.set(name('inside'), 1)
      inside.reach()
      await go.reached
      throw boom
    })
    await inside.reached
    const outside = Promise.all([
      storage.kv.set(name('outside'), 1),
      storage.messages.append(name('outside'), { role: 'user', content: 'x' }),
      storage.transaction((tx) => tx.lists.append(name('outside'), 1)),
    ])
    await new Promise(setImmediate)
    go.reach()
    await failsWith(failing, boom)
    await outside
    assert.equal(await storage.kv.get(name('outside')), 1)
    assert.equal((await storage.messages.list(name('outside'))).items.length, 1)
    assert.equal(await storage.lists.length(name('outside')), 1)
    assert.equal(await storage.kv.get(name('inside')), undefined)
  },

  async 'transaction() shows other callers nothing before the commit'({ storage, name }) {
    await storage.kv.set(name('changed'), 'before')
    const [inside, go] = [signal(), signal()]
    const failing = storage.transaction(async (tx) => {
      await tx.kv.set(name('changed'), 'uncommitted')
      await tx.messages.append(name(), { role: 'user', content: 'uncommitted' })
      inside.reach()
      await go.reached
      throw boom
    })
    await inside.reached
    const outside = Promise.all([
      storage.kv.get(name('changed')),
      storage.kv.getMany([name('changed')]).then((found) => found.get(name('changed'))),
      storage.sessions.get(name()),
      storage.messages.latest(name(), 5),
    ])
    await new Promise(setImmediate)
    go.reach()
    await failsWith(failing, boom)
    assert.deepEqual(await outside, ['before', 'before', undefined, []])
  },

  async 'transaction() rolls back only the nested transaction that failed'({ storage, name }) {
    await storage.transaction(async (tx) => {
      await tx.kv.set(name('outer'), 1)
      const failing = tx.transaction(async (nested) => {
        await nested.kv.set(name('outer'), 2)
        await nested.kv.set(name('nested'), 1)
        await nested.transaction((deeper) => deeper.kv.set(name('deeper'), 1))
        throw boom
      })
      await failsWith(failing, boom)
      assert.equal(await tx.kv.get(name('outer')), 1)
      assert.equal(await tx.transaction(async (nested) => (await nested.kv.set(name('kept'), 1)).version), 1)
    })
    const keys = (await storage.kv.keys({ prefix: name() })).items
    assert.deepEqual(keys, [name('kept'), name('outer')])
    assert.equal(await storage.kv.get(name('outer')), 1)
  },

  async 'transaction() rolls its nested transactions back as well'({ storage, name }) {
    const failing = storage.transaction(async (tx) => {
      await tx.transaction((nested) => nested.transaction((deeper) => deeper.kv.set(name(), 1)))
      assert.equal(await tx.kv.get(name()), 1)
      throw boom
    })
    await failsWith(failing, boom)
    assert.equal(await storage.kv.get(name()), undefined)
  },

  async 'transaction() runs parallel nested transactions one after the other'({ storage, name }) {
    await storage.transaction(async (tx) => {
      const settled = await Promise.allSettled([
        ...times(8, (i) =>
          tx.transaction(async (nested) => {
            await nested.kv.set(name(`${i}`), 'nested')
            await nested.lists.append(name(), i)
            await new Promise(setImmediate)
            if (i % 2 === 1) throw boom
          }),
        ),
        tx.kv.set(name('beside'), 1),
        tx.sessions.create({ id: name(), metadata: { a: 1 } }),
        tx.sessions.mergeMetadata(name(), { b: 2 }),
      ])
      assert.deepEqual(
        settled.map(({ status }) => status === 'rejected'),
        times(11, (i) => i < 8 && i % 2 === 1),
      )
    })
    const keys = ['0', '2', '4', '6', 'beside'].map(name)
    assert.deepEqual((await storage.kv.keys({ prefix: name() })).items, keys)
    assert.deepEqual(await storage.lists.range(name(), 0, 10), [0, 2, 4, 6])
    assert.deepEqual((await storage.sessions.get(name()))?.metadata, { a: 1, b: 2 })
  },

  async 'transaction() rejects calls of the storage in its body, which would wait for its end'({ storage, name }) {
    await storage.transaction(async (tx) => {
      await refused(storage.kv.get(name()), 'TRANSACTION_MISUSE')
      await refused(storage.kv.set(name(), 1), 'TRANSACTION_MISUSE')
      await refused(storage.messages.append(name(), { role: 'user', content: 'x' }), 'TRANSACTION_MISUSE')
      await refused(
        storage.transaction(async () => {}),
        'TRANSACTION_MISUSE',
      )
      await refused(storage.stats(), 'TRANSACTION_MISUSE')
      await refused(storage.close(), 'TRANSACTION_MISUSE')
      await tx.transaction(async (nested) => {
        await refused(storage.lists.append(name(), 1), 'TRANSACTION_MISUSE')
        await refused(tx.kv.set(name(), 1), 'TRANSACTION_MISUSE')
        await refused(
          tx.transaction(async () => {}),
          'TRANSACTION_MISUSE',
        )
        await nested.kv.set(name('fine'), 1)
      })
      await tx.kv.set(name('fine too'), 1)
    })
    await refused(
      storage.lists.update(name(), async (items) => ({ items, result: await storage.kv.get(name()) })),
      'TRANSACTION_MISUSE',
    )
    assert.deepEqual((await storage.kv.keys({ prefix: name() })).items, [name('fine'), name('fine too')])
  },

  async 'transaction() rejects calls of a tx that has ended'({ storage, name }) {
    let ended: StorageTransaction | undefined
    let rolledBack: StorageTransaction | undefined
    let nestedEnded: StorageTransaction | undefined
    await storage.transaction(async (tx) => {
      ended = tx
      await tx.transaction(async (nested) => {
        nestedEnded = nested
      })
      assert.ok(nestedEnded)
      await refused(nestedEnded.kv.set(name(), 1), 'TRANSACTION_MISUSE')
    })
    const failing = storage.transaction(async (tx) => {
      rolledBack = tx
      throw boom
    })
    await failsWith(failing, boom)
    for (const tx of [ended, rolledBack, nestedEnded]) {
      assert.ok(tx)
      await refused(tx.kv.get(name()), 'TRANSACTION_MISUSE')
      await refused(tx.kv.set(name(), 1), 'TRANSACTION_MISUSE')
      await refused(tx.messages.append(name(), { role: 'user', content: 'x' }), 'TRANSACTION_MISUSE')
      await refused(
        tx.transaction(async () => {}),
        'TRANSACTION_MISUSE',
      )
    }
    assert.equal(await storage.kv.get(name()), undefined)
  },

  async 'transaction() waits for nested transactions that its body did not await'({ storage, name }) {
    const begun: Promise<unknown>[] = []
    await storage.transaction(async (tx) => {
      begun.push(
        ...times(3, (i) =>
          tx.transaction(async (nested) => {
            await new Promise(setImmediate)
            await nested.kv.set(name(`${i}`), 1)
          }),
        ),
      )
    })
    assert.equal((await storage.kv.keys({ prefix: name() })).items.length, 3)
    const failing = storage.transaction(async (tx) => {
      begun.push(
        tx.transaction(async (nested) => {
          await new Promise(setImmediate)
          await nested.kv.set(name('rolled back'), 1)
        }),
      )
      throw boom
    })
    const others = times(5, (i) => storage.transaction((tx) => tx.kv.set(name(`other${i}`), 1)))
    await failsWith(failing, boom)
    await Promise.all([...begun, ...others])
    assert.equal(await storage.kv.get(name('rolled back')), undefined)
    assert.equal((await storage.kv.keys({ prefix: name('other') })).items.length, 5)
  },

  async 'transaction() completes when 64 run at once'({ storage, name }) {
    await Promise.all(
      times(64, (i) =>
        storage.transaction(async (tx) => {
          await tx.messages.append(name(), { role: 'user', content: `${i}` })
          await tx.transaction((nested) => nested.kv.set(name(`${i}`), i))
        }),
      ),
    )
    const { lastSeq, messageCount } = (await storage.sessions.summary(name())) ?? {}
    assert.deepEqual([lastSeq, messageCount], [64, 64])
    assert.equal((await storage.kv.keys({ prefix: name(), limit: 1000 })).items.length, 64)
  },
}
