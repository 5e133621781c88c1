import assert from 'node:assert/strict'
import type { PropertyConditions, PropertyTests } from '../repositories/kv/where.ts'
import type { Json, JsonObject } from '../schema/values.ts'
import { allPages, type Cases, invalid, times } from './contract.ts'

/** Values of a property that a database is likely to confuse with each other. */
const VALUES: Json[] = [
  ...[null, true, false, 0, 1, -1, 1.5, 1e21, 1e-7, 2 ** 53],
  ...['', '0', '1', 'true', 'null', 'a', 'A', 'ab', 'ä', 'Z', '\uffff', '😀', '"', '\\u0000', "'", 'x\ny'],
  ...[[], [1], ['a'], {}, { a: 1 }, { gt: 1 }],
]

/** Returns true if the property passes the tests: what the database decides, in JavaScript. */
function meets(object: Json | JsonObject, property: string, tests: PropertyTests): boolean {
  const isObject = typeof object === 'object' && object !== null && !Array.isArray(object)
  const value = isObject && Object.hasOwn(object, property) ? object[property] : undefined
  const isSame = (other: Json) => value !== undefined && JSON.stringify(value) === JSON.stringify(other)
  const order = (other: string | number) => {
    if (typeof value === 'number' && typeof other === 'number') return value - other
    if (typeof value === 'string' && typeof other === 'string')
      return Buffer.compare(Buffer.from(value), Buffer.from(other))
    return Number.NaN
  }
  const { eq, ne, in: any, notIn, gt, gte, lt, lte } = tests
  return [
    eq === undefined || isSame(eq),
    ne === undefined || !isSame(ne),
    any === undefined || any.some(isSame),
    notIn === undefined || !notIn.some(isSame),
    gt === undefined || order(gt) > 0,
    gte === undefined || order(gte) >= 0,
    lt === undefined || order(lt) < 0,
    lte === undefined || order(lte) <= 0,
  ].every(Boolean)
}

/** Conditions on values: `where` of `kv.entries()`, `kv.keys()` and `kv.find()`. */
export const kvWhereCases: Cases = {
  async 'entries() filters by each test of a property, with types kept apart'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    const stored: Json[] = [...VALUES.map((p): JsonObject => ({ p, q: 1 })), { q: 1 }, [{ p: 1 }], 'p', 1, null, []]
    await kv.setMany(stored.map((value, i) => [`${i}`, value]))
    const ordered = VALUES.filter((value) => typeof value === 'number' || typeof value === 'string')
    const tests: PropertyTests[] = [
      ...VALUES.flatMap((value): PropertyTests[] => [{ eq: value }, { ne: value }]),
      ...ordered.flatMap((value): PropertyTests[] => [{ gt: value }, { gte: value }, { lt: value }, { lte: value }]),
      { in: ['a', 1, true] },
      { notIn: ['a', 1, null] },
      { in: [] },
      { notIn: [] },
      { gt: 0, lte: 1.5, ne: 1 },
    ]
    for (const test of tests) {
      const found = (await kv.entries({ where: { p: test }, limit: 1000 })).items
      const expected = stored.flatMap((value, i) => (meets(value, 'p', test) ? [`${i}`] : []))
      assert.deepEqual(found.map(({ key }) => key).sort(), expected.sort(), JSON.stringify(test))
    }
  },

  async 'entries() and keys() take all conditions together, page by page'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    await kv.setMany(times(60, (i) => [`k${String(i).padStart(2, '0')}`, { even: i % 2 === 0, i, 'a.b': i % 3 }]))
    const where = { even: true, i: { gte: 10 }, 'a.b': 0 }
    const expected = times(60, (i) => i).filter((i) => i % 2 === 0 && i >= 10 && i % 3 === 0)
    const found = await allPages((page) => kv.entries<{ i: number }>({ ...page, prefix: 'k', where }), 3)
    assert.deepEqual(
      found.map(({ value }) => value.i),
      expected,
    )
    assert.equal((await allPages((page) => kv.keys({ ...page, where, order: 'desc' }), 3)).length, expected.length)
    assert.equal((await kv.keys({ where: {}, limit: 1000 })).items.length, 60)
  },

  async 'entries() finds values among such with NUL and halves of surrogate pairs'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    await kv.setMany([
      ['nul', { p: 'a\0b', q: 1 }],
      ['half', { p: '\ud800', q: 1 }],
      ['name', { 'p\0': 1, q: 1 }],
      ['text', { p: '\\u0000', q: 1 }],
    ])
    assert.equal((await kv.keys({ where: { q: 1 } })).items.length, 4)
    assert.deepEqual((await kv.keys({ where: { p: '\\u0000' } })).items, ['text'])
    assert.deepEqual((await kv.keys({ where: { p: 'a\0b' } })).items, ['nul'])
    assert.equal((await kv.keys({ where: { p: { ne: 'x' } } })).items.length, 4)
  },

  async 'entries() takes a property of any name'({ storage, name }) {
    const kv = storage.kv.namespace(name())
    const properties = ['__proto__', '', '"', "'", '\\', '$.p', 'p.q', 'p[0]', 'ä', 'x\ny', '😀', '\u0001']
    const objectWith = (property: string, value: number) => Object.fromEntries([[property, value]])
    await kv.setMany(properties.map((property, i) => [`${i}`, objectWith(property, i)]))
    for (const [i, property] of properties.entries()) {
      assert.deepEqual((await kv.keys({ where: objectWith(property, i) })).items, [`${i}`], property)
      assert.deepEqual((await kv.keys({ where: objectWith(property, -1) })).items, [], property)
    }
  },

  async 'entries() rejects conditions that it does not know'({ storage: { kv } }) {
    const bad = (where: unknown, path: string) => invalid(kv.entries({ where: where as PropertyConditions }), path)
    await bad('text', 'options.where')
    await bad({ p: { $gt: 1 } }, 'options.where.p')
    await bad({ p: { name: 'x' } }, 'options.where.p')
    await bad({ p: {} }, 'options.where.p')
    await bad({ p: { gt: true } }, 'options.where.p.gt')
    await bad({ p: { gt: Number.NaN } }, 'options.where.p.gt')
    await bad({ p: { in: 'text' } }, 'options.where.p.in')
    await bad({ p: { in: times(1001, (i) => i) } }, 'options.where.p.in')
    await bad({ p: undefined }, 'options.where.p')
    await bad({ p: new Date() }, 'options.where.p')
    await bad({ p: [undefined] }, 'options.where.p.0')
  },
}
