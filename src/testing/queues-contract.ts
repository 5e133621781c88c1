import assert from 'node:assert/strict'
import { allPages, badCursors, type Cases, eachInput, invalid, shown, times } from './contract.ts'

/** `storage.queues`. */
export const queueCases: Cases = {
  async 'takeAll() returns the items in the order of the pushes'({ storage: { queues }, name }) {
    const items = times(12, (i) => ({ id: `${12 - i}`, text: `\u0000${i}`, parts: [{ '2': 1, '1': null }] }))
    for (const [i, item] of items.entries()) {
      assert.deepEqual(await queues.push(name(), 'steer', item), { position: i + 1 })
    }
    assert.deepEqual(await allPages((page) => queues.list(name(), 'steer', page), 5), items)
    assert.deepEqual(await queues.takeAll(name(), 'steer'), items)
    assert.deepEqual(await queues.takeAll(name(), 'steer'), [])
    assert.deepEqual(await queues.list(name(), 'steer'), { items: [] })
    assert.deepEqual(await queues.push(name(), 'steer', { id: 'anew' }), { position: 1 })
  },

  async 'takeAll() takes only the items of its session and queue'({ storage: { queues }, name }) {
    const places = [
      [name(), 'steer'],
      [name(), 'followUp'],
      [name('1'), 'steer'],
      [name(), `steer${name()}`],
    ] as const
    for (const [session, queue] of places) await queues.push(session, queue, { id: 'same', session, queue })
    for (const [session, queue] of places) {
      assert.deepEqual(await queues.takeAll(session, queue), [{ id: 'same', session, queue }])
    }
  },

  async 'push() leaves an item that is queued already where it is'({ storage: { queues }, name }) {
    await queues.push(name(), 'q', { id: 'a', n: 1 })
    await queues.push(name(), 'q', { id: 'b' })
    assert.deepEqual(await queues.push(name(), 'q', { id: 'a', n: 2 }), { position: 1 })
    const positions = await Promise.all(times(10, () => queues.push(name(), 'q', { id: 'c' })))
    assert.equal(new Set(positions.map(({ position }) => position)).size, 1)
    assert.deepEqual(await queues.push(name(), 'q', { id: 'd' }), { position: 4 })
    assert.deepEqual(await queues.takeAll(name(), 'q'), [{ id: 'a', n: 1 }, { id: 'b' }, { id: 'c' }, { id: 'd' }])
    assert.deepEqual(await queues.push(name(), 'q', { id: 'a', n: 3 }), { position: 1 })
    assert.deepEqual(await queues.takeAll(name(), 'q'), [{ id: 'a', n: 3 }])
  },

  async 'push() returns the place after items before it are removed'({ storage: { queues }, name }) {
    const push = async (id: string) => (await queues.push(name(), 'q', { id })).position
    for (const id of ['a', 'b', 'c', 'b', 'd']) await push(id)
    await Promise.all(times(5, () => queues.remove(name(), 'q', 'b')))
    assert.deepEqual([await push('e'), await push('c'), await push('f')], [4, 2, 5])
    await queues.remove(name(), 'q', 'f')
    assert.deepEqual([await push('e'), await push('g')], [4, 5])
    await Promise.all(['a', 'c', 'd', 'none'].map((id) => queues.remove(name(), 'q', id)))
    assert.deepEqual([await push('g'), await push('h')], [2, 3])
    await queues.clear(name(), 'q')
    assert.equal(await push('i'), 1)
  },

  async 'list() goes on to items that are pushed after a takeAll()'({ storage: { queues }, name }) {
    const push = (from: number, to: number) =>
      Promise.all(times(to - from, (i) => queues.push(name(), 'q', { id: `${from + i}` })))
    await push(0, 10)
    const { nextCursor } = await queues.list(name(), 'q', { limit: 9 })
    for (const empty of [queues.takeAll.bind(queues), queues.clear.bind(queues)]) {
      await empty(name(), 'q')
      await push(10, 22)
      const rest = await queues.list(name(), 'q', { cursor: nextCursor })
      assert.equal(rest.items.length, 12)
    }
  },

  async 'remove() removes one item, clear() all of them'({ storage: { queues }, name }) {
    for (const id of ['a', 'b', 'c']) await queues.push(name(), 'q', { id })
    await queues.push(name(), 'other', { id: 'b' })
    assert.equal(await queues.remove(name(), 'q', 'b'), true)
    assert.equal(await queues.remove(name(), 'q', 'b'), false)
    assert.deepEqual((await queues.list(name(), 'q')).items, [{ id: 'a' }, { id: 'c' }])
    assert.deepEqual(await queues.push(name(), 'q', { id: 'c' }), { position: 2 })
    assert.equal(await queues.clear(name(), 'q'), 2)
    assert.equal(await queues.clear(name(), 'q'), 0)
    assert.deepEqual((await queues.list(name(), 'other')).items, [{ id: 'b' }])
  },

  async 'listQueues() returns the queues that there are, with their lengths'({ storage: { queues }, name }) {
    const push = (session: string, queue: string, ids: string[]) =>
      Promise.all(ids.map((id) => queues.push(name(session), queue, { id })))
    await push('1', 'b', ['a', 'b', 'c', 'd'])
    await push('1', 'a', ['a', 'a', 'b'])
    await push('10', 'a', ['a'])
    await queues.remove(name('1'), 'b', 'b')
    const [taken] = await queues.take(name('1'), 'b', { leaseSeconds: 60 })
    await queues.ack([taken?.receipt ?? ''])
    await queues.take(name('1'), 'b', { leaseSeconds: 60 })
    await queues.clear(name('10'), 'a')
    const lengths = async (session: string) => {
      const listed = await allPages((page) => queues.listQueues({ sessionId: name(session), ...page }), 1)
      return listed.map(({ queue, length }) => [queue, length])
    }
    const [first] = (await queues.listQueues({ sessionId: name('1') })).items
    assert.deepEqual(first, { sessionId: name('1'), ownerId: '', queue: 'a', length: 2 })
    assert.deepEqual(await lengths('1'), [
      ['a', 2],
      ['b', 2],
    ])
    assert.deepEqual(await lengths('10'), [['a', 0]])
    assert.deepEqual(await lengths('absent'), [])
    const all = await allPages((page) => queues.listQueues(page), 1000)
    const own = all.filter(({ sessionId }) => sessionId.startsWith(name()))
    assert.deepEqual(
      own.map(({ sessionId, queue }) => [sessionId, queue]),
      [
        [name('1'), 'a'],
        [name('1'), 'b'],
        [name('10'), 'a'],
      ],
    )
    assert.deepEqual(await queues.listQueues({ ownerId: name() }), { items: [] })
  },

  async 'delete() removes a queue with its items'({ storage: { queues }, name }) {
    const push = async (queue: string, id: string) => (await queues.push(name(), queue, { id })).position
    for (const id of ['a', 'b']) await push('q', id)
    await push('other', 'a')
    const [taken] = await queues.take(name(), 'q', { leaseSeconds: 60 })
    const receipts = [taken?.receipt ?? '']
    assert.equal(await queues.delete(name(), 'q'), true)
    assert.equal(await queues.delete(name(), 'q'), false)
    assert.deepEqual(await queues.list(name(), 'q'), { items: [] })
    assert.equal((await queues.listQueues({ sessionId: name() })).items.length, 1)
    assert.equal(await push('q', 'a'), 1)
    assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    assert.deepEqual(await queues.takeAll(name(), 'q'), [{ id: 'a' }])
    assert.deepEqual(await queues.takeAll(name(), 'other'), [{ id: 'a' }])
  },

  async 'delete() and push() leave no item behind when they run at once'({ storage: { queues }, name }) {
    await Promise.all(
      times(30, (i) => (i % 3 === 2 ? queues.delete(name(), 'q') : queues.push(name(), 'q', { id: `${i}` }))),
    )
    const { items } = await queues.list(name(), 'q')
    const [queue] = (await queues.listQueues({ sessionId: name() })).items
    assert.equal(queue?.length ?? 0, items.length)
    await queues.delete(name(), 'q')
    assert.deepEqual(await queues.takeAll(name(), 'q'), [])
  },

  async 'takeAll() delivers every item once with 8 takers and 8 pushers'({ storage: { queues }, name }) {
    const each = 40
    let pushing = 8
    const push = async (pusher: number) => {
      for (let n = 0; n < each; n++) await queues.push(name(), 'q', { id: `${pusher}-${n}`, pusher, n })
      pushing--
    }
    const taken: { pusher: number; n: number }[][] = []
    const take = async () => {
      for (let last = false; !last; ) {
        last = pushing === 0
        const items = await queues.takeAll(name(), 'q')
        taken.push(items.map(({ pusher, n }) => ({ pusher: Number(pusher), n: Number(n) })))
      }
    }
    await Promise.all([...times(8, push), ...times(8, take)])
    assert.equal(taken.flat().length, 8 * each)
    assert.equal(new Set(taken.flat().map(({ pusher, n }) => `${pusher}-${n}`)).size, 8 * each)
    for (const items of taken) {
      for (let pusher = 0; pusher < 8; pusher++) {
        const ofPusher = items.filter((item) => item.pusher === pusher).map(({ n }) => n)
        assert.deepEqual(
          ofPusher,
          ofPusher.toSorted((a, b) => a - b),
        )
        // Items that this pusher pushed before these have been taken before.
        assert.deepEqual(ofPusher, ofPusher.length === 0 ? [] : times(ofPusher.length, (i) => (ofPusher[0] ?? 0) + i))
      }
    }
  },

  async 'takeAll() and messages.append() move any number of items in one transaction'({ storage, name }) {
    const ids = times(1001, (i) => `${i}`)
    await storage.transaction(async (tx) => {
      for (const id of ids) await tx.queues.push(name(), 'q', { id, text: `text ${id}` })
    })
    await storage.transaction(async (tx) => {
      for (const { id, text } of await tx.queues.takeAll(name(), 'q')) {
        await tx.messages.append(name(), { id, role: 'user', content: String(text) })
      }
    })
    const moved: string[] = []
    for await (const { id } of storage.messages.iterate(name())) moved.push(id)
    assert.deepEqual(moved, ids)
    assert.deepEqual(await storage.queues.list(name(), 'q'), { items: [] })
  },

  ...eachInput<[item: unknown, path: string]>(
    [
      [{}, 'item.id'],
      [{ id: '' }, 'item.id'],
      [{ id: 7 }, 'item.id'],
      [{ id: 'x'.repeat(256) }, 'item.id'],
      [{ id: 'a', at: new Date(0) }, 'item.at'],
      ['text', 'item'],
      [null, 'item'],
      [[{ id: 'a' }], 'item'],
    ],
    ([item]) => `push() rejects the item ${shown(item)}`,
    async ([item, path], { storage: { queues }, name }) => {
      await invalid(queues.push(name(), 'q', item as { id: string }), path)
      assert.deepEqual(await queues.list(name(), 'q'), { items: [] })
    },
  ),

  async 'every call rejects a session, queue or item id that is not valid'({ storage: { queues }, name }) {
    await invalid(queues.push('', 'q', { id: 'a' }), 'sessionId')
    await invalid(queues.push(name(), '', { id: 'a' }), 'queue')
    await invalid(queues.takeAll(name(), 'q\0'), 'queue')
    await invalid(queues.list(name(), ''), 'queue')
    await invalid(queues.clear('', 'q'), 'sessionId')
    await invalid(queues.delete(name(), ''), 'queue')
    await invalid(queues.listQueues({ sessionId: '' }), 'options.sessionId')
    await invalid(queues.listQueues({ ownerId: '' }), 'options.ownerId')
    await invalid(queues.remove(name(), 'q', ''), 'id')
  },

  async 'list() and listQueues() reject cursors that they did not return'({ storage: { queues }, name }) {
    await badCursors((cursor) => queues.list(name(), 'q', { cursor }))
    await badCursors((cursor) => queues.listQueues({ cursor }))
  },
}
