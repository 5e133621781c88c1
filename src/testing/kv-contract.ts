import assert from 'node:assert/strict'
import {
  AWKWARD_PREFIXES,
  allPages,
  badCursors,
  byBytes,
  type Cases,
  eachInput,
  invalid,
  refused,
  shown,
  times,
} from './contract.ts'

/** Values that a codec is likely to change. */
const VALUES = [
  null,
  true,
  0,
  -1.5e-7,
  2 ** 53,
  '',
  '10',
  'null',
  '"',
  '\u0000',
  '\ud800',
  '🗝',
  [],
  {},
  [[null]],
  { '2': 1, '1': 2 },
]

/** `storage.kv`. */
export const kvCases: Cases = {
  ...eachInput(
    VALUES,
    (value) => `set() and setIfAbsent() keep the value ${shown(value)}`,
    async (value, { storage: { kv }, name }) => {
      assert.equal(await kv.get(name()), undefined)
      assert.deepEqual((await kv.set(name(), value)).value, value)
      assert.deepEqual(await kv.get(name()), value)
      assert.deepEqual(await kv.setIfAbsent(name('absent'), value), { value, inserted: true })
      assert.deepEqual(await kv.get(name('absent')), value)
      const both = await kv.getMany([name(), name('absent')])
      assert.deepEqual(
        both,
        new Map([
          [name(), value],
          [name('absent'), value],
        ]),
      )
    },
  ),

  async 'set() drops what JSON drops'({ storage: { kv }, name }) {
    const value = { array: Object.assign([1], { extra: 2 }), zero: -0, [Symbol('s')]: 3, dropped: undefined }
    const kept = { array: [1], zero: 0 }
    assert.deepEqual((await kv.set(name(), value)).value, kept)
    assert.deepEqual(await kv.get(name()), kept)
    assert.deepEqual((await kv.setIfAbsent(name('absent'), value)).value, kept)
  },

  async 'set() counts versions and keeps the creation time'({ storage: { kv }, name, clock }) {
    const created = await kv.set(name(), 'a')
    const now = clock.now()
    assert.deepEqual(created, {
      key: name(),
      sessionId: null,
      value: 'a',
      version: 1,
      createdAt: now,
      updatedAt: now,
      expiresAt: null,
    })
    clock.advance(5)
    const updated = await kv.set(name(), null)
    assert.deepEqual(updated, { ...created, value: null, version: 2, updatedAt: clock.now() })
    assert.deepEqual(await kv.getEntry(name()), updated)
    assert.equal(await kv.delete(name()), true)
    assert.equal((await kv.set(name(), 'anew')).version, 1)
  },

  async 'set() lets one of many concurrent calls with the same ifVersion win'({ storage: { kv }, name }) {
    const key = name()
    await kv.set(key, 'first')
    const settled = await Promise.allSettled(times(20, (i) => kv.set(key, i, { ifVersion: 1 })))
    const winner = settled.findIndex(({ status }) => status === 'fulfilled')
    assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal(await kv.get(key), winner)
    for (const ifVersion of [1, 3]) {
      await assert.rejects(kv.set(key, 'late', { ifVersion }), {
        code: 'VERSION_CONFLICT',
        details: { key, expected: ifVersion, actual: 2 },
      })
    }
    for (const ifVersion of [2 ** 31, Number.MAX_SAFE_INTEGER]) {
      await refused(kv.set(key, 'late', { ifVersion }), 'VERSION_CONFLICT')
    }
    await refused(kv.set(name('absent'), 1, { ifVersion: 1 }), 'VERSION_CONFLICT')
    assert.equal(await kv.get(name('absent')), undefined)
    assert.deepEqual((await kv.set(key, 'next', { ifVersion: 2 })).version, 3)
    await Promise.all(times(30, (i) => kv.set(key, i)))
    assert.equal((await kv.getEntry(key))?.version, 33)
  },

  async 'setIfAbsent() lets one of many concurrent calls win and returns its value to all'({ storage: { kv }, name }) {
    const results = await Promise.all(times(30, (i) => kv.setIfAbsent(name(), { i })))
    const winners = results.filter(({ inserted }) => inserted)
    assert.equal(winners.length, 1)
    for (const { value } of results) assert.deepEqual(value, winners[0]?.value)
    assert.equal((await kv.getEntry(name()))?.version, 1)
    assert.deepEqual(await kv.setIfAbsent(name(), 'late'), { value: winners[0]?.value, inserted: false })
    await kv.set(name('null'), null)
    assert.deepEqual(await kv.setIfAbsent(name('null'), 1), { value: null, inserted: false })
  },

  async 'setIfAbsent() resolves while others delete the key'({ storage: { kv }, name }) {
    const racing = times(40, (i) => (i % 2 === 0 ? kv.setIfAbsent(name(), i) : kv.delete(name())))
    const inserted = (await Promise.all(racing)).filter((result) => typeof result === 'object' && result.inserted)
    assert.ok(inserted.length >= 1)
  },

  async 'getMany() returns the values that exist'({ storage: { kv }, name }) {
    const keys = times(150, (i) => name(`${i}`))
    await Promise.all(keys.map((key, i) => kv.set(key, i)))
    const asked = [...keys, name('absent'), keys[0] ?? '', ...times(849, (i) => name(`not ${i}`))].slice(0, 1000)
    const found = await kv.getMany(asked)
    assert.deepEqual(new Map([...found].toSorted()), new Map(keys.map((key, i) => [key, i] as const).toSorted()))
    assert.equal((await kv.getMany([])).size, 0)
  },

  async 'setMany() writes each value as set() does'({ storage: { kv }, name, clock }) {
    await kv.set(name('b'), 'old')
    await kv.set(name('c'), 'expired', { ttlSeconds: 60 })
    await kv.get(name('a'))
    clock.advance(61)
    const pairs = VALUES.map((value, i): [string, unknown] => [name(`v${i}`), value])
    const values = new Map<string, unknown>([...pairs, [name('a'), 1], [name('b'), [2]], [name('c'), null]])
    await kv.setMany(values, { ttlSeconds: 60 })
    for (const [key, value] of values) assert.deepEqual(await kv.get(key), value)
    const entries = await Promise.all(['a', 'b', 'c'].map((key) => kv.getEntry(name(key))))
    const now = clock.now()
    const expiresAt = clock.after(60)
    assert.deepEqual(
      entries.map((entry) => entry && [entry.version, entry.createdAt, entry.updatedAt, entry.expiresAt]),
      [
        [1, now, now, expiresAt],
        [2, new Date(now.getTime() - 61_000), now, expiresAt],
        [1, now, now, expiresAt],
      ],
    )
    await kv.setMany([
      [name('a'), 'first'],
      [name('a'), 'last'],
    ])
    assert.deepEqual([await kv.get(name('a')), (await kv.getEntry(name('a')))?.expiresAt], ['last', null])
    await kv.setMany([])
  },

  async 'setMany() rejects bad pairs, and writes none of them'({ storage: { kv }, name }) {
    const pairs = (key: unknown, value: unknown) =>
      [
        [name(), 1],
        [key, value],
      ] as [string, unknown][]
    await invalid(kv.setMany(pairs('', 1)), 'values.1.0')
    await invalid(kv.setMany(pairs('k', new Date())), 'values.1.1')
    await invalid(kv.setMany(times(1001, (i) => [`k${i}`, i])), 'values')
    await invalid(kv.setMany(null as unknown as []), 'values')
    await invalid(kv.setMany(pairs('k', 1), { ttlSeconds: 0 }), 'options.ttlSeconds')
    assert.equal(await kv.has(name()), false)
  },

  async 'deleteMany() and clear() return the number of values removed'({ storage: { kv }, name, clock }) {
    const keys = times(150, (i) => name(`k${i}`))
    await kv.setMany(keys.map((key, i) => [key, i]))
    await kv.set(name('expired'), 1, { ttlSeconds: 60 })
    await kv.set(name('other'), 1)
    clock.advance(61)
    assert.equal(await kv.has(keys[0] ?? ''), true)
    assert.equal(await kv.deleteMany([...keys.slice(0, 100), name('absent'), name('expired'), keys[0] ?? '']), 100)
    assert.equal(await kv.deleteMany(keys.slice(0, 100)), 0)
    assert.equal(await kv.deleteMany([]), 0)
    assert.equal(await kv.has(keys[0] ?? ''), false)
    assert.equal(await kv.clear({ prefix: name('k') }), 50)
    assert.equal(await kv.clear({ prefix: name('k') }), 0)
    assert.deepEqual((await kv.keys({ prefix: name() })).items, [name('other')])
    await kv.setMany(times(1000, (i) => [name(`m${i}`), i]))
    await kv.setMany(times(100, (i) => [name(`n${i}`), i]))
    assert.equal(await kv.clear({ prefix: name() }), 1101)
    await invalid(kv.deleteMany(times(1001, String)), 'keys')
    await invalid(kv.deleteMany(['']), 'keys.0')
    await invalid(kv.clear({ prefix: 5 } as object), 'options.prefix')
  },

  async 'setMany(), deleteMany() and delete() of the same keys at once do not block each other'({ storage, name }) {
    const { kv } = storage
    const keys = times(80, (i) => name(`${i}`))
    const pairs = keys.map((key) => [key, 1] as const)
    await Promise.all(
      times(24, (i) => {
        if (i % 3 === 0) return kv.setMany(i % 2 === 0 ? pairs : pairs.toReversed())
        return i % 3 === 1 ? kv.deleteMany(keys.toReversed()) : kv.delete(keys[i] ?? '')
      }),
    )
    await kv.setMany(pairs)
    assert.equal((await kv.getMany(keys)).size, 80)
  },

  async 'keys() and entries() run backwards'({ storage: { kv }, name }) {
    await kv.setMany(['a', 'b', 'c', 'd'].map((key) => [name(key), key]))
    const options = { prefix: name(), order: 'desc' } as const
    const keys = await allPages((page) => kv.keys({ ...options, ...page }), 3)
    assert.deepEqual(keys, ['d', 'c', 'b', 'a'].map(name))
    const entries = await allPages((page) => kv.entries({ ...options, ...page }), 3)
    assert.deepEqual(
      entries.map(({ value }) => value),
      ['d', 'c', 'b', 'a'],
    )
    await invalid(kv.keys({ order: 'up' as 'asc' }), 'options.order')
  },

  async 'delete() returns true if there was a value'({ storage: { kv }, name }) {
    await kv.set(name(), null)
    assert.equal(await kv.delete(name()), true)
    assert.equal(await kv.delete(name()), false)
    assert.equal(await kv.get(name()), undefined)
    const deleted = await kv.set(name(), 1).then(() => Promise.all(times(10, () => kv.delete(name()))))
    assert.equal(deleted.filter(Boolean).length, 1)
  },

  async 'keys() and entries() match a prefix exactly, page by page'({ storage: { kv }, name }) {
    const names = AWKWARD_PREFIXES.flatMap((prefix) => ['', 'a', 'B', '\u{10ffff}'].map((end) => name(prefix + end)))
    const keys = [...new Set(names)].toSorted(byBytes)
    await Promise.all(keys.map((key) => kv.set(key, key)))
    for (const prefix of AWKWARD_PREFIXES) {
      const expected = keys.filter((key) => key.startsWith(name(prefix)))
      for (const limit of [1, 3, 1000]) {
        assert.deepEqual(await allPages((page) => kv.keys({ prefix: name(prefix), ...page }), limit), expected)
      }
      const entries = await allPages((page) => kv.entries({ prefix: name(prefix), ...page }), 7)
      assert.deepEqual(
        entries.map(({ key, value, version }) => [key, value, version]),
        expected.map((key) => [key, key, 1]),
      )
    }
    const everything = await allPages((page) => kv.keys(page), 50)
    assert.deepEqual(
      everything.filter((key) => key.startsWith(name())),
      keys,
    )
    assert.deepEqual(everything, everything.toSorted(byBytes))
    await Promise.all(times(60, (i) => kv.set(name(`many${i}`), i)))
    assert.equal((await kv.keys({ prefix: name('many') })).items.length, 50)
  },

  async 'keys() finds keys of the highest code point by their prefix'({ storage: { kv } }) {
    const highest = ['\u{10ffff}', '\u{10ffff}\u{10ffff}', '\u{10ffff}x', 'x\u{10ffff}', 'x\u{10ffff}y', 'y']
    for (const key of highest) await kv.set(key, key)
    assert.deepEqual((await kv.keys({ prefix: '\u{10ffff}' })).items, [
      '\u{10ffff}',
      '\u{10ffff}x',
      '\u{10ffff}\u{10ffff}',
    ])
    assert.deepEqual((await kv.keys({ prefix: '\u{10ffff}\u{10ffff}' })).items, ['\u{10ffff}\u{10ffff}'])
    assert.deepEqual((await kv.keys({ prefix: 'x\u{10ffff}' })).items, ['x\u{10ffff}', 'x\u{10ffff}y'])
    for (const key of highest) await kv.delete(key)
  },

  ...eachInput<[value: unknown, path: string]>(
    [
      [undefined, 'value'],
      [Number.NaN, 'value'],
      [1n, 'value'],
      [() => {}, 'value'],
      [Symbol('s'), 'value'],
      [new Date(0), 'value'],
      [new Map(), 'value'],
      [Buffer.from('x'), 'value'],
      [arrayInItself(), 'value'],
      [{ a: [0, { b: Number.NEGATIVE_INFINITY }] }, 'value.a.1.b'],
      [Object.assign([], { 1: 2 }), 'value.0'],
      [{ '': { toJSON: () => 1 } }, 'value..toJSON'],
    ],
    ([value]) => `set() and setIfAbsent() reject the value ${shown(value)}`,
    async ([value, path], { storage: { kv }, name }) => {
      const before = await kv.set(name(), { before: true })
      await invalid(kv.set(name(), value), path)
      await invalid(kv.setIfAbsent(name('new'), value), path)
      assert.deepEqual(await kv.getEntry(name()), before)
      assert.equal(await kv.get(name('new')), undefined)
    },
  ),

  ...eachInput(
    ['', 'a\0', '\ud800', 'x'.repeat(1025), 'ü'.repeat(513), 5 as unknown as string],
    (key) => `every call rejects the key ${shown(key)}`,
    async (key, { storage: { kv } }) => {
      await invalid(kv.set(key, 1), 'key')
      await invalid(kv.setIfAbsent(key, 1), 'key')
      await invalid(kv.get(key), 'key')
      await invalid(kv.getEntry(key), 'key')
      await invalid(kv.delete(key), 'key')
      await invalid(kv.getMany(['fine', key]), 'keys.1')
    },
  ),

  ...eachInput(
    ['x'.repeat(1024), 'ü'.repeat(512)],
    (key) => `every call accepts the key ${shown(key)}`,
    async (key, { storage: { kv } }) => {
      await kv.set(key, 1)
      assert.deepEqual((await kv.keys({ prefix: key })).items, [key])
      assert.equal(await kv.delete(key), true)
    },
  ),

  async 'getMany() rejects more than 1000 keys'({ storage: { kv } }) {
    const keys = times(1001, (i) => `${i}`)
    await invalid(kv.getMany(keys), 'keys')
    await invalid(kv.getMany('text' as unknown as string[]), 'keys')
  },

  async 'set() and setIfAbsent() reject options out of range'({ storage: { kv }, name }) {
    const before = await kv.set(name(), 1)
    for (const ttlSeconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e12]) {
      await invalid(kv.set(name(), 2, { ttlSeconds }), 'options.ttlSeconds', `ttlSeconds ${ttlSeconds}`)
      await invalid(kv.setIfAbsent(name('new'), 2, { ttlSeconds }), 'options.ttlSeconds', `ttlSeconds ${ttlSeconds}`)
    }
    for (const ifVersion of [0, 1.5, 2 ** 53]) {
      await invalid(kv.set(name(), 2, { ifVersion }), 'options.ifVersion', `ifVersion ${ifVersion}`)
    }
    assert.deepEqual(await kv.getEntry(name()), before)
    assert.equal(await kv.get(name('new')), undefined)
  },

  async 'keys() and entries() reject bad prefixes, limits and cursors'({ storage: { kv } }) {
    for (const prefix of ['a\0', '\udc00', 'x'.repeat(1025)]) {
      await invalid(kv.keys({ prefix }), 'options.prefix', `prefix ${shown(prefix)}`)
      await invalid(kv.entries({ prefix }), 'options.prefix', `prefix ${shown(prefix)}`)
    }
    for (const limit of [0, 1001, 1.5]) await invalid(kv.keys({ limit }), 'options.limit', `limit ${limit}`)
    await badCursors((cursor) => kv.keys({ cursor }))
    await badCursors((cursor) => kv.entries({ cursor }))
  },
}

function arrayInItself(): unknown[] {
  const array: unknown[] = []
  array.push({ array })
  return array
}
