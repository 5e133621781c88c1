import assert from 'node:assert/strict'
import type { Storage } from '../storage/types.ts'
import { type Cases, refused } from './contract.ts'

type Handle = Pick<Storage, 'kv' | 'lists'>

/** Writes an entry by each call, and a list by each, that go with a session. */
async function write({ kv, lists }: Handle, sessionId: string, name: (text: string) => string): Promise<void> {
  const value = { of: sessionId }
  await kv.set(name('set'), value, { sessionId })
  await kv.setMany([[name('many'), value]], { sessionId })
  await kv.setIfAbsent(name('absent'), value, { sessionId })
  await kv.namespace(name('space')).set('k', value, { sessionId })
  await lists.ofSession(sessionId).append(name('appended'), 1, 2)
  await lists.ofSession(sessionId).update(name('updated'), () => ({ items: [3], result: 0 }))
}

/** Returns what every reading call finds of them. */
async function read({ kv, lists }: Handle, name: (text: string) => string): Promise<unknown[]> {
  const keys = ['set', 'many', 'absent'].map(name)
  const space = kv.namespace(name('space'))
  return [
    await Promise.all(keys.map((key) => kv.get(key))),
    await Promise.all(keys.map((key) => kv.has(key))),
    (await kv.getMany(keys)).size,
    (await kv.keys({ prefix: name('') })).items.length,
    (await kv.entries({ prefix: name('') })).items.length,
    (await space.find()).items.length,
    (await space.keys()).items,
    await lists.range(name('appended'), 0, 5),
    await lists.length(name('updated')),
    (await lists.keys({ prefix: name('') })).items.length,
  ]
}

const there = (sessionId: string) => {
  const value = { of: sessionId }
  return [[value, value, value], [true, true, true], 3, 4, 4, 1, ['k'], [1, 2], 1, 2]
}
const NOTHING = [[undefined, undefined, undefined], [false, false, false], 0, 0, 0, 0, [], [], 0, 0]

/** Entries of `kv` and lists that go with a session. */
export const sessionEntryCases: Cases = {
  async 'sessions.delete() removes the entries and lists of the session, and no others'({ storage, name }) {
    const { sessions, kv, lists } = storage
    const [id, other] = [name('chat'), name('other chat')]
    const of = (text: string) => (key: string) => name(`${text}: ${key}`)
    for (const session of [id, other]) await sessions.create({ id: session })
    await write(storage, id, of('one'))
    await write(storage, other, of('two'))
    await kv.set(name('free'), 1)
    await lists.append(name('free'), 1)
    for (let i = 0; i < 3; i++) assert.deepEqual(await read(storage, of('one')), there(id))
    assert.equal((await kv.getEntry(of('one')('set')))?.sessionId, id)
    assert.equal((await kv.getEntry(name('free')))?.sessionId, null)
    assert.equal(await sessions.delete(id), true)
    for (let i = 0; i < 3; i++) assert.deepEqual(await read(storage, of('one')), NOTHING)
    assert.deepEqual(await read(storage, of('two')), there(other))
    assert.deepEqual([await kv.get(name('free')), await lists.length(name('free'))], [1, 1])
  },

  async 'kv and lists find nothing of a session from its expiry on, and begin anew'({ storage, name, clock }) {
    const { sessions, kv, lists } = storage
    const [id, other] = [name('chat'), name('other chat')]
    await sessions.create({ id, expiresAt: clock.after(60) })
    await sessions.create({ id: other })
    await write(storage, id, name)
    assert.deepEqual(await read(storage, name), there(id))
    clock.advance(60)
    assert.deepEqual(await read(storage, name), NOTHING)
    assert.deepEqual((await kv.namespace(name('space')).namespaces()).items, [])
    assert.equal(await kv.delete(name('set')), false)
    assert.equal(await kv.deleteMany([name('many')]), 0)
    assert.equal(await kv.clear({ prefix: name('') }), 0)
    assert.equal(await lists.delete(name('appended')), false)
    await sessions.create({ id: name('unrelated') })
    await refused(kv.set(name('set'), 1, { ifVersion: 1 }), 'VERSION_CONFLICT')
    await refused(kv.set(name('new'), 1, { sessionId: id }), 'NOT_FOUND')
    await refused(lists.ofSession(id).append(name('new'), 1), 'NOT_FOUND')
    assert.equal((await kv.set(name('set'), 1)).version, 1)
    await kv.setMany([[name('many'), 2]])
    assert.equal((await kv.getEntry(name('many')))?.version, 1)
    assert.deepEqual(await kv.setIfAbsent(name('absent'), 3, { sessionId: other }), { value: 3, inserted: true })
    assert.equal(await lists.append(name('appended'), 'new'), 1)
    const before = await lists.ofSession(other).update(name('updated'), (items) => ({ items: ['new'], result: items }))
    assert.deepEqual(before, [])
    assert.deepEqual(await lists.range(name('appended'), 0, 5), ['new'])
    clock.advance(600)
    await storage.maintain()
    assert.deepEqual([await kv.get(name('set')), await kv.get(name('many')), await kv.get(name('absent'))], [1, 2, 3])
    assert.deepEqual([await lists.length(name('appended')), await lists.length(name('updated'))], [1, 1])
    await sessions.delete(other)
    assert.deepEqual([await kv.get(name('absent')), await lists.length(name('updated'))], [undefined, 0])
  },

  async 'sessions.update() of the expiry hides entries and lists, and shows them again'({ storage, name, clock }) {
    const id = name('chat')
    await storage.sessions.create({ id })
    await write(storage, id, name)
    assert.deepEqual(await read(storage, name), there(id))
    await storage.sessions.update(id, { expiresAt: clock.after(5) })
    clock.advance(4)
    assert.deepEqual(await read(storage, name), there(id))
    await storage.sessions.update(id, { expiresAt: clock.after(100) })
    clock.advance(99)
    assert.deepEqual(await read(storage, name), there(id))
    clock.advance(1)
    assert.deepEqual(await read(storage, name), NOTHING)
    clock.advance(600)
    await storage.maintain()
    await storage.sessions.create({ id })
    assert.deepEqual(await read(storage, name), NOTHING)
  },

  async 'kv.set() and lists.ofSession() refuse a session that the owner does not have, and write nothing'({
    storage,
    name,
  }) {
    const [ada, bob] = [storage.scope({ ownerId: name('ada') }), storage.scope({ ownerId: name('bob') })]
    await ada.sessions.create({ id: name('chat') })
    for (const { kv, lists } of [storage, bob]) {
      await kv.set(name('k'), 'old')
      for (const sessionId of [name('chat'), name('none')]) {
        await refused(kv.set(name('k'), 1, { sessionId }), 'NOT_FOUND')
        await refused(kv.set(name('k'), 1, { sessionId, ifVersion: 1 }), 'NOT_FOUND')
        await refused(kv.setMany([[name('k'), 1]], { sessionId }), 'NOT_FOUND')
        await refused(kv.setIfAbsent(name('l'), 1, { sessionId }), 'NOT_FOUND')
        await refused(lists.ofSession(sessionId).append(name('l'), 1), 'NOT_FOUND')
        await refused(
          lists.ofSession(sessionId).update(name('l'), () => assert.fail('not reached')),
          'NOT_FOUND',
        )
      }
      assert.deepEqual(
        [await kv.get(name('k')), await kv.has(name('l')), await lists.length(name('l'))],
        ['old', false, 0],
      )
      await refused(kv.set(name('k'), 1, { sessionId: '' }), 'INVALID_INPUT')
      assert.throws(() => lists.ofSession(''), { code: 'INVALID_INPUT' })
    }
    await write(ada, name('chat'), name)
    assert.deepEqual(await read(ada, name), there(name('chat')))
  },

  async 'kv.set() without a session lets an entry go with none, and with another one with that'({ storage, name }) {
    const { sessions, kv } = storage
    const [one, two] = [name('one'), name('two')]
    for (const id of [one, two]) await sessions.create({ id })
    const key = name('k')
    const found = async () => [await kv.get(key), (await kv.getEntry(key))?.sessionId]
    for (const set of [
      (n: number, sessionId?: string) => kv.set(key, n, { sessionId }),
      (n: number, sessionId?: string) => kv.setMany([[key, n]], { sessionId }),
      async (n: number, sessionId?: string) =>
        kv.set(key, n, { sessionId, ifVersion: (await kv.getEntry(key))?.version ?? 0 }),
    ]) {
      await kv.set(key, 'first')
      for (const sessionId of [one, undefined, two, one, undefined]) {
        await set(1, sessionId)
        for (let i = 0; i < 2; i++) assert.deepEqual(await found(), [1, sessionId ?? null])
      }
    }
    await kv.set(key, 2, { sessionId: one })
    await kv.set(key, 3, { sessionId: two })
    await sessions.delete(one)
    assert.deepEqual(await found(), [3, two])
    await kv.set(key, 4)
    await sessions.delete(two)
    assert.deepEqual(await found(), [4, null])
  },

  async 'lists.append() leaves a list with its session, and lists.ofSession() gives it to another'({ storage, name }) {
    const { sessions, lists } = storage
    const [one, two] = [name('one'), name('two')]
    for (const id of [one, two]) await sessions.create({ id })
    await lists.append(name('free'), 'a')
    assert.equal(await lists.ofSession(one).append(name('free'), 'b'), 2)
    assert.equal(await lists.append(name('free'), 'c'), 3)
    assert.equal(await lists.ofSession(one).append(name('none')), 0)
    await lists.ofSession(one).append(name('moved'), 'a')
    await lists.ofSession(two).update(name('moved'), (items) => ({ items: [...items, 'b'], result: 0 }))
    await lists.update(name('moved'), (items) => ({ items: [...items, 'c'], result: 0 }))
    await sessions.delete(one)
    assert.deepEqual(await lists.range(name('free'), 0, 5), [])
    assert.deepEqual(await lists.range(name('moved'), 0, 5), ['a', 'b', 'c'])
    await sessions.delete(two)
    assert.deepEqual((await lists.keys({ prefix: name('') })).items, [])
  },

  async 'sessions.update() of the owner takes entries and lists along'({ storage, name, clock }) {
    const { sessions } = storage
    const [ada, bob] = [storage.scope({ ownerId: name('ada') }), storage.scope({ ownerId: name('bob') })]
    const id = name('chat')
    await sessions.create({ id })
    await write(storage, id, name)
    await bob.kv.set(name('set'), 'expired', { ttlSeconds: 1 })
    clock.advance(2)
    assert.deepEqual(await read(bob, name), NOTHING) // that the entries are absent may be cached now
    await sessions.update(id, { ownerId: name('bob') })
    assert.deepEqual(await read(storage, name), NOTHING)
    assert.deepEqual(await read(bob, name), there(id))
    await ada.kv.set(name('many'), 'taken')
    await refused(sessions.update(id, { ownerId: name('ada'), title: 'x' }), 'ALREADY_EXISTS')
    await ada.kv.delete(name('many'))
    await ada.lists.append(name('updated'), 'taken')
    const taken = { code: 'ALREADY_EXISTS', details: { key: name('updated') } }
    await assert.rejects(sessions.update(id, { ownerId: name('ada'), title: 'x' }), taken)
    assert.equal((await bob.sessions.get(id))?.title, null)
    assert.deepEqual(await read(bob, name), there(id))
    assert.deepEqual([await ada.sessions.get(id), await ada.lists.length(name('updated'))], [undefined, 1])
    await ada.lists.delete(name('updated'))
    await storage.transaction((tx) => tx.sessions.update(id, { ownerId: name('ada') }))
    assert.deepEqual(await read(ada, name), there(id))
    await ada.sessions.delete(id)
    assert.deepEqual(await read(ada, name), NOTHING)
  },

  async 'sessions.fork() does not copy entries and lists'({ storage, name }) {
    const [id, copy] = [name('chat'), name('copy')]
    await storage.sessions.create({ id })
    await write(storage, id, name)
    await storage.sessions.fork(id, { id: copy })
    await storage.sessions.delete(copy)
    assert.deepEqual(await read(storage, name), there(id))
  },

  async 'transaction() keeps or loses entries and lists with its session'({ storage, name }) {
    const id = name('chat')
    const undone = storage.transaction(async (tx) => {
      await tx.sessions.create({ id })
      await write(tx, id, name)
      assert.deepEqual(await read(tx, name), there(id))
      await refused(tx.kv.set(name('set'), 1, { sessionId: name('none') }), 'NOT_FOUND')
      await refused(tx.lists.ofSession(name('none')).append(name('appended'), 1), 'NOT_FOUND')
      assert.deepEqual(await read(tx, name), there(id))
      throw new Error('undo')
    })
    await assert.rejects(undone, /undo/)
    assert.deepEqual(await read(storage, name), NOTHING)
    await storage.transaction(async (tx) => {
      await tx.sessions.create({ id })
      await write(tx, id, name)
    })
    assert.deepEqual(await read(storage, name), there(id))
    await storage.transaction(async (tx) => {
      await tx.sessions.delete(id)
      assert.deepEqual(await read(tx, name), NOTHING)
    })
    assert.deepEqual(await read(storage, name), NOTHING)
  },

  async 'erase() removes entries and lists with their sessions'({ storage, name }) {
    const [ada, bob] = [storage.scope({ ownerId: name('ada') }), storage.scope({ ownerId: name('bob') })]
    for (const scope of [ada, bob]) {
      await scope.sessions.create({ id: name('chat') })
      await write(scope, name('chat'), name)
    }
    await storage.erase({ ownerId: name('ada') })
    assert.deepEqual(await read(ada, name), NOTHING)
    assert.deepEqual(await read(bob, name), there(name('chat')))
  },
}
