import assert from 'node:assert/strict'
import { allPages, type Cases, invalid, times } from './contract.ts'

/** `storage.queues`. */
export const queueCases: Cases = {
  async 'give back items in the order of the pushes'({ storage: { queues }, name }) {
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

  async 'are apart by session and by name'({ storage: { queues }, name }) {
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

  async 'push again what is queued leaves it where it is'({ storage: { queues }, name }) {
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

  async 'remove one, or clear all'({ storage: { queues }, name }) {
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

  async 'deliver every item once, to 8 takers from 8 pushers'({ storage: { queues }, name }) {
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
        const own = items.filter((item) => item.pusher === pusher).map(({ n }) => n)
        assert.deepEqual(
          own,
          own.toSorted((a, b) => a - b),
        )
        // What was pushed before the first of them has been taken before.
        assert.deepEqual(own, own.length === 0 ? [] : times(own.length, (i) => (own[0] ?? 0) + i))
      }
    }
  },

  async 'refuse what is no item, and queue nothing'({ storage: { queues }, name }) {
    const bad: [item: unknown, path: string][] = [
      [{}, 'item.id'],
      [{ id: '' }, 'item.id'],
      [{ id: 7 }, 'item.id'],
      [{ id: 'x'.repeat(256) }, 'item.id'],
      [{ id: 'a', at: new Date() }, 'item.at'],
      ['text', 'item'],
      [null, 'item'],
      [[{ id: 'a' }], 'item'],
    ]
    for (const [item, path] of bad) await invalid(queues.push(name(), 'q', item as { id: string }), path)
    await invalid(queues.push('', 'q', { id: 'a' }), 'sessionId')
    await invalid(queues.push(name(), '', { id: 'a' }), 'queue')
    await invalid(queues.takeAll(name(), 'q\0'), 'queue')
    await invalid(queues.remove(name(), 'q', ''), 'id')
    for (const cursor of ['', 'x', 'WyJ4Il0', 'W10'])
      await invalid(queues.list(name(), 'q', { cursor }), 'options.cursor')
    assert.deepEqual(await queues.list(name(), 'q'), { items: [] })
  },
}
