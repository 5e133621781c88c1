import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AWKWARD_PREFIXES,
  allPages,
  badCursors,
  byBytes,
  type Cases,
  eachInput,
  failsWith,
  invalid,
  shown,
  signal,
  times,
} from './contract.ts'

/** `storage.lists`. */
export const listCases: Cases = {
  async 'append() adds items at the end and returns the length'({ storage: { lists }, name }) {
    assert.equal(await lists.length(name()), 0)
    assert.equal(await lists.append(name()), 0)
    assert.deepEqual(await lists.keys({ prefix: name() }), { items: [] })
    assert.equal(await lists.append(name(), 'a'), 1)
    const values = [null, '10', 'null', '\u0000\ud800', { '2': 1, '1': [2 ** 53] }, [], true]
    assert.equal(await lists.append(name(), ...values), 8)
    assert.equal(await lists.append(name()), 8)
    assert.deepEqual(await lists.range(name(), 0, 1000), ['a', ...values])
    assert.equal(await lists.append(name(), ...times(500, (i) => i)), 508)
    assert.deepEqual(
      await lists.range(name(), 8, 1000),
      times(500, (i) => i),
    )
  },

  async 'range() returns the items that exist in the range'({ storage: { lists }, name }) {
    await lists.append(name(), ...times(10, (i) => i))
    await lists.append(name('other'), 'other')
    assert.deepEqual(await lists.range(name(), 0, 3), [0, 1, 2])
    assert.deepEqual(await lists.range(name(), 7, 5), [7, 8, 9])
    assert.deepEqual(await lists.range(name(), 10, 5), [])
    assert.deepEqual(await lists.range(name(), 2 ** 31, 5), [])
    assert.deepEqual(await lists.range(name(), Number.MAX_SAFE_INTEGER, 1000), [])
    assert.deepEqual(await lists.range(name('absent'), 0, 5), [])
  },

  async 'append() keeps the items of each call together when many run at once'({ storage: { lists }, name }) {
    const lengths = await Promise.all(times(40, (i) => lists.append(name(), [i, 'a'], [i, 'b'])))
    assert.deepEqual(
      lengths.toSorted((a, b) => a - b),
      times(40, (i) => 2 * i + 2),
    )
    const items = await lists.range(name(), 0, 1000)
    for (const [i, length] of lengths.entries()) {
      assert.deepEqual(items.slice(length - 2, length), [
        [i, 'a'],
        [i, 'b'],
      ])
    }
  },

  async 'update() replaces the items and returns the result'({ storage: { lists }, name }) {
    await lists.append(name(), 1, 2, 3)
    const sum = await lists.update(name(), (items) => ({ items: [...items, 4], result: items.length }))
    assert.equal(sum, 3)
    assert.deepEqual(await lists.range(name(), 0, 10), [1, 2, 3, 4])
    const first = await lists.update(name(), async ([head, ...rest]) => ({ items: rest, result: head }))
    assert.equal(first, 1)
    assert.deepEqual(await lists.range(name(), 0, 10), [2, 3, 4])
    assert.equal(await lists.update(name('new'), (items) => ({ items: ['x'], result: items.length })), 0)
    assert.deepEqual(await lists.range(name('new'), 0, 10), ['x'])
    await lists.update(name(), () => ({ items: [], result: null }))
    await lists.update(name('none'), () => ({ items: [], result: null }))
    assert.deepEqual((await lists.keys({ prefix: name() })).items, [name('new')])
    assert.equal(await lists.append(name(), 'anew'), 1)
  },

  async 'update() stores items that it changed in place, and leaves out what was cut'({ storage: { lists }, name }) {
    await lists.append(name(), ...times(300, (n) => ({ n, done: false })))
    await lists.update<{ n: number; done: boolean }>(name(), (items) => {
      for (const item of items) if (item.n === 7) item.done = true
      items.reverse()
      return { items: items.slice(0, 299), result: undefined }
    })
    const expected = times(299, (i) => ({ n: 299 - i, done: 299 - i === 7 }))
    assert.deepEqual(await lists.range(name(), 0, 1000), expected)
    await lists.update(name(), (items) => ({
      items: [...items.slice(0, 150), -0, ...items.slice(151), 'end'],
      result: 0,
    }))
    assert.deepEqual(await lists.range(name(), 0, 1000), [...expected.slice(0, 150), 0, ...expected.slice(151), 'end'])
    assert.equal(await lists.append(name(), 'more'), 301)
  },

  async 'update() leaves the list as it was if it fails'({ storage: { lists }, name }) {
    await lists.append(name(), 1, 2)
    const failure = new Error('of the program')
    const failing = lists.update(name(), (items) => {
      items.push(3)
      throw failure
    })
    await failsWith(failing, failure)
    await failsWith(
      lists.update(name('new'), () => Promise.reject(failure)),
      failure,
    )
    await invalid(
      lists.update(name(), () => ({ items: [1, undefined], result: 1 })),
      'items.1',
    )
    await invalid(
      lists.update(name(), () => ({ items: 'text' as unknown as [], result: 1 })),
      'items',
    )
    await invalid(lists.update(name(), undefined as never), 'change')
    for (const nothing of [undefined, null, 1])
      await invalid(
        lists.update(name(), () => nothing as never),
        'change',
      )
    assert.deepEqual(await lists.range(name(), 0, 10), [1, 2])
    assert.deepEqual((await lists.keys({ prefix: name() })).items, [name()])
  },

  async 'update() loses nothing while others append and update'({ storage: { lists }, name }) {
    const key = name()
    await Promise.all(
      times(40, (i) => {
        if (i % 2 === 0) return lists.append(key, i)
        return lists.update(key, async (items) => {
          await new Promise(setImmediate)
          return { items: [i, ...items], result: undefined }
        })
      }),
    )
    const items = (await lists.range(key, 0, 1000)).map(Number)
    assert.equal(await lists.length(key), 40)
    assert.deepEqual(
      items.toSorted((a, b) => a - b),
      times(40, (i) => i),
    )
  },

  async 'update() gives each item to one caller when many take items'({ storage: { lists }, name }) {
    await lists.append(name(), ...times(20, (i) => i))
    const take = () => lists.update(name(), ([head = null, ...rest]) => ({ items: rest, result: head }))
    const taken = await Promise.all([...times(25, take), lists.append(name(), 20).then(() => null)])
    const left = await lists.range(name(), 0, 10)
    const all = [...taken, ...left].filter((item) => item !== null).map(Number)
    assert.deepEqual(
      all.toSorted((a, b) => a - b),
      times(21, (i) => i),
    )
  },

  async 'delete() returns true if there was a list'({ storage: { lists }, name }) {
    await lists.append(name(), 1, 2)
    await lists.append(name('other'), 3)
    assert.equal(await lists.delete(name()), true)
    assert.equal(await lists.delete(name()), false)
    assert.deepEqual(await lists.range(name(), 0, 10), [])
    assert.equal(await lists.length(name()), 0)
    assert.equal(await lists.append(name(), 'anew'), 1)
    assert.deepEqual(await lists.range(name('other'), 0, 10), [3])
  },

  async 'keys() matches a prefix exactly, page by page'({ storage: { lists }, name }) {
    const keys = AWKWARD_PREFIXES.map((prefix) => name(prefix)).toSorted(byBytes)
    await Promise.all(keys.map((key) => lists.append(key, key)))
    for (const prefix of AWKWARD_PREFIXES) {
      const expected = keys.filter((key) => key.startsWith(name(prefix)))
      const listed = await allPages((page) => lists.keys({ prefix: name(prefix), ...page }), 3)
      assert.deepEqual(listed, expected)
    }
  },

  ...eachInput<[item: unknown, path: string]>(
    [
      [Number.NaN, 'items.1'],
      [{ a: [new Set()] }, 'items.1.a.0'],
      [undefined, 'items.1'],
    ],
    ([item]) => `append() rejects the item ${shown(item)}`,
    async ([item, path], { storage: { lists }, name }) => {
      await lists.append(name(), 'before')
      await invalid(lists.append(name(), 'fine', item), path)
      assert.deepEqual(await lists.range(name(), 0, 10), ['before'])
    },
  ),

  ...eachInput(
    ['', 'a\0', '\ud800', 'x'.repeat(1025), null as unknown as string],
    (key) => `every call rejects the key ${shown(key)}`,
    async (key, { storage: { lists } }) => {
      await invalid(lists.append(key, 1), 'key')
      await invalid(lists.range(key, 0, 1), 'key')
      await invalid(lists.length(key), 'key')
      await invalid(lists.delete(key), 'key')
      const update = lists.update(key, (items) => ({ items, result: 1 }))
      await invalid(update, 'key')
    },
  ),

  async 'range() rejects numbers out of range'({ storage: { lists }, name }) {
    for (const start of [-1, 0.5, 2 ** 53, Number.NaN]) {
      await invalid(lists.range(name(), start, 1), 'start', `start ${start}`)
    }
    for (const count of [-1, 0, 0.5, 1001, 2 ** 53, Number.NaN]) {
      await invalid(lists.range(name(), 0, count), 'count', `count ${count}`)
    }
  },

  async 'keys() rejects bad prefixes, limits and cursors'({ storage: { lists } }) {
    await invalid(lists.keys({ prefix: '\0' }), 'options.prefix')
    await invalid(lists.keys({ limit: 0 }), 'options.limit')
    await badCursors((cursor) => lists.keys({ cursor }))
  },

  async 'delete() waits for an update() under way and removes what it wrote'({ storage: { lists }, name }) {
    const key = name()
    await lists.append(key, 1)
    const [updating, finish] = [signal(), signal()]
    const updated = lists.update(key, async (items) => {
      updating.reach()
      await finish.reached
      return { items: [...items, 2], result: undefined }
    })
    await updating.reached
    const deleted = lists.delete(key)
    await sleep(100) // until the database has been asked
    finish.reach()
    await updated
    assert.equal(await deleted, true)
    assert.equal(await lists.length(key), 0)
  },
}
