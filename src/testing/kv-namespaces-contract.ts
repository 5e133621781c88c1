import assert from 'node:assert/strict'
import { allPages, badCursors, byBytes, type Cases, invalid, shown, times } from './contract.ts'

/** Labels and keys that a path with separators is likely to confuse, or a database to order otherwise. */
const AWKWARD = [
  '.',
  '/',
  'a/b',
  'a.b',
  'ab',
  'a',
  'a-',
  'A',
  ' ',
  '%',
  '_',
  '\\',
  "'",
  'ä',
  '東京',
  '🗝',
  '\u0001',
  '\u0002',
  'a\u0003A',
  '\u0003',
]

/** `storage.kv.namespace()`, and what is found across namespaces. */
export const kvNamespaceCases: Cases = {
  async 'namespace() has keys of its own, whatever the labels and keys are'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    for (const label of AWKWARD) {
      await kv.namespace(label).setMany(AWKWARD.map((key) => [key, { label, key }]))
    }
    for (const label of AWKWARD) {
      const entries = (await kv.namespace(label).entries()).items
      assert.deepEqual(
        new Map(entries.map(({ key, value }) => [key, value])),
        new Map(AWKWARD.map((key) => [key, { label, key }])),
        `label ${shown(label)}`,
      )
      assert.deepEqual(await kv.namespace(label).get('ab'), { label, key: 'ab' })
    }
    assert.deepEqual((await kv.keys()).items, [])
    assert.equal(await storage.kv.get(AWKWARD[0] ?? ''), undefined)
    const located = await allPages((page) => kv.find(page), 7)
    assert.equal(located.length, AWKWARD.length ** 2)
    for (const { namespace, key, value } of located) assert.deepEqual(value, { label: namespace[0], key })
  },

  async 'namespace() takes every call of kv'({ storage, name, clock }) {
    const kv = storage.kv.namespace(name(), 'b')
    const deeper = storage.kv.namespace(name()).namespace('b', 'c')
    await deeper.set('k', 'deeper')
    assert.deepEqual(await kv.setIfAbsent('k', 1), { value: 1, inserted: true })
    assert.deepEqual(await kv.setIfAbsent('k', 2), { value: 1, inserted: false })
    const entry = await kv.set('k', 2, { ifVersion: 1 })
    assert.deepEqual([entry.key, entry.version], ['k', 2])
    assert.deepEqual(await kv.getEntry('k'), entry)
    assert.deepEqual(await kv.getEntry('k'), entry, 'from the cache')
    await assert.rejects(kv.set('k', 3, { ifVersion: 1 }), {
      code: 'VERSION_CONFLICT',
      details: { key: 'k', expected: 1, actual: 2 },
    })
    await kv.setMany([
      ['k2', 3],
      ['l', 4],
    ])
    assert.deepEqual(
      await kv.getMany(['k', 'k2', 'none']),
      new Map([
        ['k', 2],
        ['k2', 3],
      ]),
    )
    assert.equal(await kv.has('k2'), true)
    assert.deepEqual((await kv.keys({ prefix: 'k' })).items, ['k', 'k2'])
    assert.deepEqual((await kv.keys({ order: 'desc' })).items, ['l', 'k2', 'k'])
    assert.equal(await kv.delete('k2'), true)
    assert.equal(await kv.get('k2'), undefined)
    await kv.set('soon', 1, { ttlSeconds: 60 })
    clock.advance(61)
    assert.equal(await kv.has('soon'), false)
    assert.equal(await kv.clear({ prefix: 'k' }), 1)
    assert.equal(await kv.deleteMany(['l', 'none']), 1)
    assert.equal(await deeper.get('k'), 'deeper')
    await storage.transaction(async (tx) => {
      await tx.kv.namespace(name(), 'b').set('k', 'in a transaction')
    })
    assert.equal(await kv.get('k'), 'in a transaction')
    assert.equal(await kv.clear(), 2, 'the namespace and those below it')
    assert.equal(await deeper.has('k'), false)
  },

  async 'namespace() rejects bad labels, and keys that are too long with them'({ storage: { kv } }) {
    await invalid(
      Promise.resolve().then(() => kv.namespace()),
      'labels',
    )
    await invalid(
      Promise.resolve().then(() => kv.namespace('a', '')),
      'labels.1',
    )
    await invalid(
      Promise.resolve().then(() => kv.namespace('a\0')),
      'labels.0',
    )
    await invalid(
      Promise.resolve().then(() => kv.namespace(5 as unknown as string)),
      'labels.0',
    )
    const long = kv.namespace('x'.repeat(1000))
    await long.set('y'.repeat(23), 1)
    assert.equal(await long.delete('y'.repeat(23)), true)
    await invalid(long.set('y'.repeat(24), 1), 'key')
    await invalid(long.get('y'.repeat(24)), 'key')
    await invalid(long.setMany([['y'.repeat(24), 1]]), 'key')
    await invalid(long.getMany(['y'.repeat(24)]), 'key')
  },

  async 'namespaces() returns each namespace once, cut to a depth'({ storage, name, clock }) {
    const kv = storage.kv.namespace(name())
    const paths = [
      ['a'],
      ['a', 'b'],
      ['a', 'b', 'c'],
      ['a', 'b', 'd'],
      ['a-'],
      ['e', 'f', 'g'],
      ['ä'],
      ['\u0002', '\u0003'],
    ]
    for (const labels of paths) await kv.namespace(...labels).setMany(times(5, (i) => [`${i}`, i]))
    await kv.set('own', 1)
    await kv.namespace('gone').set('k', 1, { ttlSeconds: 60 })
    clock.advance(61)
    const sorted = (found: readonly string[][]) => found.map((labels) => labels.join('/')).sort(byBytes)
    assert.deepEqual(sorted(await allPages((page) => kv.namespaces(page), 3)), sorted(paths))
    const two = [['a'], ['a', 'b'], ['a-'], ['e', 'f'], ['ä'], ['\u0002', '\u0003']]
    assert.deepEqual(sorted(await allPages((page) => kv.namespaces({ ...page, depth: 2 }), 2)), sorted(two))
    const one = [['a'], ['a-'], ['e'], ['ä'], ['\u0002']]
    assert.deepEqual(sorted(await allPages((page) => kv.namespaces({ ...page, depth: 1 }), 2)), sorted(one))
    const below = await kv.namespace('a').namespaces({ depth: 1 })
    assert.deepEqual(below.items, [['b']])
    assert.deepEqual((await kv.namespace('a').namespaces()).items, [['b'], ['b', 'c'], ['b', 'd']])
    assert.deepEqual((await kv.namespace('none').namespaces()).items, [])
    for (const depth of [0, 1.5, 513]) await invalid(kv.namespaces({ depth }), 'options.depth', `depth ${depth}`)
    await badCursors((cursor) => kv.namespaces({ cursor }))
  },

  async 'find() returns the entries of a namespace and of those below it'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    await kv.set('top', { n: 0 })
    await kv.namespace('a').set('k', { n: 1 })
    await kv.namespace('a', 'b').set('k', { n: 2 })
    await kv.namespace('a-').set('k', { n: 3 })
    const found = await allPages((page) => kv.find(page), 3)
    assert.deepEqual(
      found.map(({ namespace, key, value }) => [namespace.join('/'), key, value]),
      [
        ['', 'top', { n: 0 }],
        ['a', 'k', { n: 1 }],
        ['a/b', 'k', { n: 2 }],
        ['a-', 'k', { n: 3 }],
      ],
    )
    const inA = await kv.namespace('a').find({ order: 'desc' })
    assert.deepEqual(
      inA.items.map(({ namespace, value }) => [namespace, value]),
      [
        [['b'], { n: 2 }],
        [[], { n: 1 }],
      ],
    )
    assert.deepEqual(
      (await kv.find({ where: { n: { gte: 2 } } })).items.map(({ value }) => value),
      [{ n: 2 }, { n: 3 }],
    )
    assert.deepEqual((await kv.namespace('none').find()).items, [])
    await badCursors((cursor) => kv.find({ cursor }))
  },
}
