import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import type { Queues } from '../repositories/queues/queues.ts'
import type { TakenItem } from '../repositories/queues/types.ts'
import { type Cases, eachInput, failsWith, invalid, shown, signal, times } from './contract.ts'

const minute = { leaseSeconds: 60 }
const all = { ...minute, limit: 1000 }

/** `storage.queues`: items that are leased until they are acknowledged. */
export const queueLeaseCases: Cases = {
  async 'take() leases the first items, and ack() removes them'({ storage: { queues }, name }) {
    const items = times(5, (i) => ({ id: `${9 - i}`, text: `\u0000${i}`, parts: [{ '2': 1, '1': null }] }))
    for (const item of items) await queues.push(name(), 'q', item)
    const first = await queues.take(name(), 'q', minute)
    assert.deepEqual(itemsOf(first), items.slice(0, 1))
    assert.deepEqual(await queues.ack(receiptsOf(first)), { held: receiptsOf(first), lost: [] })
    const rest = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf(rest), items.slice(1))
    assert.deepEqual(new Set(rest.map(({ attempt }) => attempt)), new Set([1]))
    const [kept = '', ...done] = receiptsOf(rest)
    assert.deepEqual(await queues.ack(done), { held: done, lost: [] })
    assert.deepEqual((await queues.list(name(), 'q')).items, items.slice(1, 2))
    assert.deepEqual(await queues.ack([kept]), { held: [kept], lost: [] })
    assert.deepEqual(await queues.list(name(), 'q'), { items: [] })
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    assert.deepEqual(await queues.take(name('never'), 'q', all), [])
  },

  async 'take() returns nothing behind an item that is leased'({ storage: { queues }, name }) {
    await pushTo(queues, name(), 'abcd')
    const [a, b] = await queues.take(name(), 'q', { ...minute, limit: 2 })
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    await queues.ack(receiptsOf([a]))
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    await queues.ack(receiptsOf([b]))
    const [c, d] = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf([c, d]), [{ id: 'c' }, { id: 'd' }])
    await queues.release(receiptsOf([c]))
    await queues.push(name(), 'q', { id: 'e' })
    assert.deepEqual(itemsOf(await queues.take(name(), 'q', all)), [{ id: 'c' }])
    await pushTo(queues, name('other'), 'a')
    assert.deepEqual(itemsOf(await queues.take(name('other'), 'q', all)), [{ id: 'a' }])
  },

  async 'take() returns what was not acknowledged in time, in its place'({ storage: { queues }, name, clock }) {
    await pushTo(queues, name(), 'abc')
    const late = await queues.take(name(), 'q', { ...minute, limit: 2 })
    clock.advance(59.999)
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    clock.advance(0.001)
    const again = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf(again), [{ id: 'a' }, { id: 'b' }, { id: 'c' }])
    assert.deepEqual(
      again.map(({ attempt }) => attempt),
      [2, 2, 1],
    )
    // The receipts of the taker that was late do nothing to what is another's by now.
    for (const call of [queues.ack, queues.release, (texts: string[]) => queues.extend(texts, minute)]) {
      assert.deepEqual(await call.call(queues, receiptsOf(late)), { held: [], lost: receiptsOf(late) })
    }
    const mixed = receiptsOf([late[0], again[0], late[1]])
    assert.deepEqual(await queues.ack(mixed), { held: [mixed[1]], lost: [mixed[0], mixed[2]] })
    assert.deepEqual((await queues.list(name(), 'q')).items, [{ id: 'b' }, { id: 'c' }])
    assert.deepEqual(await queues.take(name(), 'q', all), [])
  },

  async 'ack() removes an item whose lease has ended if nobody else has taken it'({
    storage: { queues },
    name,
    clock,
  }) {
    await pushTo(queues, name(), 'ab')
    const taken = await queues.take(name(), 'q', { ...minute, limit: 1 })
    clock.advance(3600)
    assert.deepEqual(await queues.ack(receiptsOf(taken)), { held: receiptsOf(taken), lost: [] })
    assert.deepEqual(itemsOf(await queues.take(name(), 'q', all)), [{ id: 'b' }])
  },

  async 'ack() may be repeated, also after the item was pushed again'({ storage: { queues }, name }) {
    await pushTo(queues, name(), 'a')
    const receipts = receiptsOf(await queues.take(name(), 'q', minute))
    assert.deepEqual(await queues.ack([...receipts, ...receipts]), { held: [...receipts, ...receipts], lost: [] })
    assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    await queues.clear(name(), 'q') // restarts the positions
    await pushTo(queues, name(), 'a')
    assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    await queues.take(name(), 'q', minute)
    assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    assert.deepEqual((await queues.list(name(), 'q')).items, [{ id: 'a' }])
    assert.deepEqual(await queues.ack([]), { held: [], lost: [] })
  },

  async 'release() gives items back at once, in their place'({ storage: { queues }, name }) {
    await pushTo(queues, name(), 'abc')
    const receipts = receiptsOf(await queues.take(name(), 'q', { ...minute, limit: 2 }))
    assert.deepEqual(await queues.release(receipts), { held: receipts, lost: [] })
    assert.deepEqual(await queues.release(receipts), { held: [], lost: receipts })
    assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    assert.deepEqual(await queues.extend(receipts, minute), { held: [], lost: receipts })
    const again = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf(again), [{ id: 'a' }, { id: 'b' }, { id: 'c' }])
    assert.ok(receiptsOf(again).every((receipt) => !receipts.includes(receipt)))
  },

  async 'extend() lets a lease end later, or sooner'({ storage: { queues }, name, clock }) {
    await pushTo(queues, name(), 'ab')
    const receipts = receiptsOf(await queues.take(name(), 'q', { ...minute, limit: 2 }))
    clock.advance(59)
    assert.deepEqual(await queues.extend(receipts, minute), { held: receipts, lost: [] })
    clock.advance(59)
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    clock.advance(3600) // ended, but nobody has taken the items
    assert.deepEqual(await queues.extend(receipts, minute), { held: receipts, lost: [] })
    assert.deepEqual(await queues.take(name(), 'q', all), [])
    assert.deepEqual(await queues.extend(receipts, { leaseSeconds: 1 }), { held: receipts, lost: [] })
    clock.advance(1)
    assert.deepEqual(itemsOf(await queues.take(name(), 'q', all)), [{ id: 'a' }, { id: 'b' }])
    assert.deepEqual(await queues.extend(receipts, minute), { held: [], lost: receipts })
  },

  async 'push() and list() count a leased item as queued'({ storage: { queues }, name }) {
    await pushTo(queues, name(), 'abcd')
    const [a, b, c] = await queues.take(name(), 'q', { ...minute, limit: 3 })
    assert.deepEqual(await queues.push(name(), 'q', { id: 'b', other: true }), { position: 2 })
    assert.deepEqual((await queues.list(name(), 'q')).items, [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' }])
    await queues.ack(receiptsOf([c, a]))
    assert.deepEqual(await queues.push(name(), 'q', { id: 'b' }), { position: 1 })
    assert.deepEqual(await queues.push(name(), 'q', { id: 'e' }), { position: 3 })
    await queues.ack(receiptsOf([b]))
    assert.deepEqual(await queues.push(name(), 'q', { id: 'b', n: 2 }), { position: 3 })
    assert.deepEqual(itemsOf(await queues.take(name(), 'q', all)), [{ id: 'd' }, { id: 'e' }, { id: 'b', n: 2 }])
  },

  async 'takeAll(), clear(), remove() and sessions.delete() remove leased items, whose receipts are lost'({
    storage: { queues, sessions },
    name,
  }) {
    await sessions.create({ id: name() })
    const removals: [queue: string, remove: () => Promise<unknown>, result: unknown][] = [
      ['takeAll', () => queues.takeAll(name(), 'takeAll'), [{ id: 'a' }, { id: 'b' }]],
      ['clear', () => queues.clear(name(), 'clear'), 2],
      ['remove', () => queues.remove(name(), 'remove', 'a'), true],
      ['delete', () => sessions.delete(name()), true],
    ]
    for (const [queue, remove, result] of removals) {
      await pushTo(queues, name(), 'ab', queue)
      const receipts = receiptsOf(await queues.take(name(), queue, minute))
      assert.deepEqual(await remove(), result)
      assert.deepEqual(await queues.ack(receipts), { held: [], lost: receipts })
    }
  },

  async 'take() and ack() in a transaction are undone if it is rolled back'({ storage, name }) {
    const { queues } = storage
    await pushTo(queues, name(), 'ab')
    const boom = new Error('of the program')
    const failing = storage.transaction(async (tx) => {
      const inside = await tx.queues.take(name(), 'q', all)
      assert.deepEqual((await tx.queues.ack(receiptsOf(inside))).lost, [])
      throw boom
    })
    await failsWith(failing, boom)
    const taken = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf(taken), [{ id: 'a' }, { id: 'b' }])
    assert.equal(taken[0]?.attempt, 1)
    const store = () =>
      storage.transaction(async (tx) => {
        await tx.messages.append(name(), { id: 'a', role: 'user', content: 'x' })
        if ((await tx.queues.ack(receiptsOf(taken))).lost.length > 0) throw boom
      })
    await store()
    await failsWith(store(), boom)
    assert.deepEqual(await queues.list(name(), 'q'), { items: [] })
    assert.equal((await storage.messages.list(name())).items.length, 1)
  },

  async 'take() waits for another take in a transaction, and returns nothing behind its items'({ storage, name }) {
    const { queues } = storage
    await pushTo(queues, name(), 'abcd')
    const taken = signal()
    const goOn = signal()
    const first = storage.transaction(async (tx) => {
      const items = await tx.queues.take(name(), 'q', { ...minute, limit: 2 })
      taken.reach()
      await goOn.reached
      return items
    })
    await taken.reached
    const others = times(4, () => queues.take(name(), 'q', { ...minute, limit: 3 }))
    await setTimeout(250) // time for the others to wait for the first
    goOn.reach()
    assert.deepEqual(itemsOf(await first), [{ id: 'a' }, { id: 'b' }])
    assert.deepEqual((await Promise.all(others)).flat(), [])
  },

  async 'take() gives every item to one of 8 takers, in order, while 8 push'({ storage: { queues }, name }) {
    const each = 20
    let left = 8 * each
    const done: { pusher: number; n: number }[] = []
    const push = async (pusher: number) => {
      for (let n = 0; n < each; n++) await queues.push(name(), 'q', { id: `${pusher}-${n}`, pusher, n })
    }
    const work = async () => {
      while (left > 0) {
        const taken = await queues.take(name(), 'q', { ...minute, limit: 3 })
        if (taken.length === 0) await setTimeout(1) // SQLite answers at once: the pushes need a turn
        left -= taken.length
        done.push(...taken.map(({ item }) => ({ pusher: Number(item.pusher), n: Number(item.n) })))
        assert.deepEqual((await queues.ack(receiptsOf(taken))).lost, [])
      }
    }
    await Promise.all([...times(8, push), ...times(8, work)])
    for (const pusher of times(8, (i) => i)) {
      const ofPusher = done.filter((item) => item.pusher === pusher).map(({ n }) => n)
      assert.deepEqual(
        ofPusher,
        times(each, (n) => n),
      )
    }
  },

  async 'ack() of many callers over several queues, in any order, never fails'({ storage: { queues }, name }) {
    const names = ['q1', 'q2', 'q3', 'q4']
    for (const queue of names) await pushTo(queues, name(), 'abcdefgh', queue)
    const taken = await Promise.all(names.map((queue) => queues.take(name(), queue, all)))
    const callers = times(8, (i) => {
      const receipts = taken.map((items) => receiptsOf(items)[i] ?? '')
      return queues.ack(i % 2 === 0 ? receipts : receipts.reverse())
    })
    for (const { held, lost } of await Promise.all(callers)) assert.deepEqual([held.length, lost], [4, []])
    for (const queue of names) assert.deepEqual(await queues.push(name(), queue, { id: 'x' }), { position: 1 })
  },

  async 'take(), extend(), release() and ack() accept 1000 items'({ storage: { queues }, name }) {
    // In parts: the last of a thousand calls would wait for a connection for long on a busy server.
    for (let i = 0; i < 11; i++) await Promise.all(times(91, (j) => queues.push(name(), 'q', { id: `${91 * i + j}` })))
    const pushed = (await queues.list(name(), 'q', { limit: 1000 })).items
    assert.deepEqual(await queues.release(receiptsOf(await queues.take(name(), 'q', all))).then(countsOf), [1000, 0])
    const taken = await queues.take(name(), 'q', all)
    assert.deepEqual(itemsOf(taken), pushed)
    const receipts = receiptsOf(taken)
    assert.deepEqual(await queues.extend(receipts, minute).then(countsOf), [1000, 0])
    await invalid(queues.ack([...receipts, ...receipts]), 'receipts')
    assert.deepEqual(await queues.ack(receipts), { held: receipts, lost: [] })
    assert.equal((await queues.list(name(), 'q')).items.length, 1)
  },

  ...eachInput<[options: unknown, path: string]>(
    [
      [undefined, 'options'],
      [{}, 'options.leaseSeconds'],
      [{ leaseSeconds: 0 }, 'options.leaseSeconds'],
      [{ leaseSeconds: 86_401 }, 'options.leaseSeconds'],
      [{ leaseSeconds: Number.NaN }, 'options.leaseSeconds'],
      [{ leaseSeconds: '60' }, 'options.leaseSeconds'],
      [{ leaseSeconds: 60, limit: 0 }, 'options.limit'],
      [{ leaseSeconds: 60, limit: 1001 }, 'options.limit'],
      [{ leaseSeconds: 60, cursor: 'x' }, 'options.cursor'],
    ],
    ([options]) => `take() rejects the options ${shown(options)}`,
    async ([options, path], { storage: { queues }, name }) => {
      await invalid(queues.take(name(), 'q', options as typeof minute), path)
    },
  ),

  ...eachInput<unknown>(
    [undefined, 7, '', 'x', '%', encoded({}), encoded([]), encoded(['s', 'q', 1]), encoded(['s', 'q', -1, 'x'])],
    (receipt) => `ack(), release() and extend() reject the receipt ${shown(receipt)}`,
    async (receipt, { storage: { queues }, name }) => {
      await pushTo(queues, name(), 'a')
      const receipts = [...receiptsOf(await queues.take(name(), 'q', minute)), receipt as string]
      await invalid(queues.ack(receipts), 'receipts.1')
      await invalid(queues.release(receipts), 'receipts.1')
      await invalid(queues.extend(receipts, minute), 'receipts.1')
      assert.deepEqual(await queues.take(name(), 'q', minute), []) // nothing was released, or removed
      assert.equal((await queues.list(name(), 'q')).items.length, 1)
    },
  ),

  async 'take() and the calls with receipts reject what is not of their kind'({ storage: { queues }, name }) {
    await invalid(queues.take('', 'q', minute), 'sessionId')
    await invalid(queues.take(name(), 'q\0', minute), 'queue')
    await invalid(queues.ack('receipt' as never), 'receipts')
    await invalid(queues.release(undefined as never), 'receipts')
    await invalid(queues.extend([], {} as typeof minute), 'options.leaseSeconds')
    await invalid(queues.extend([], { ...minute, limit: 1 } as typeof minute), 'options.limit')
    const made = encoded([name(), 'q', 1, 'made up'])
    await pushTo(queues, name(), 'a')
    await queues.take(name(), 'q', minute)
    assert.deepEqual(await queues.ack([made]), { held: [], lost: [made] })
  },
}

/** Pushes an item for each letter, whose id is the letter. */
async function pushTo(queues: Queues, session: string, letters: string, queue = 'q'): Promise<void> {
  for (const id of letters) await queues.push(session, queue, { id })
}

type Taken = readonly (TakenItem | undefined)[]

function itemsOf(taken: Taken) {
  return taken.map((each) => each?.item)
}

function receiptsOf(taken: Taken): string[] {
  return taken.map((each) => each?.receipt ?? 'missing')
}

function countsOf({ held, lost }: { held: string[]; lost: string[] }): [held: number, lost: number] {
  return [held.length, lost.length]
}

function encoded(content: unknown): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}
