import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, encode } from '../../src/cache/row-codec.ts'
import { rounds } from '../setup/rounds.ts'

const { value: rowValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.constantFrom(null, undefined, true, false, -0, '\ud800', '{}', ''),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value')),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toJSON', '0', 'length')),
      tie('value'),
      {
        noNullPrototype: true,
      },
    ),
  ),
}))

/** Returns the keys of every object in the value, in their order. */
function keyOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(keyOrder)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return undefined
  return Object.entries(value).map(([key, item]) => [key, keyOrder(item)])
}

describe('decode()', () => {
  it('returns what encode() was given, with types, undefined, special numbers and key order', () => {
    fc.assert(
      fc.property(rowValue, (value) => {
        const copy = decode(encode(value))
        assert.deepStrictEqual(copy, value)
        assert.deepStrictEqual(keyOrder(copy), keyOrder(value))
      }),
      { numRuns: rounds(2000, 100_000) },
    )
  })

  it('distinguishes values that JSON does not', () => {
    const row = {
      at: new Date(1),
      text: '1970-01-01T00:00:00.001Z',
      none: undefined,
      nothing: null,
      zero: -0,
      big: 2n ** 64n,
    }
    const copy = decode(encode(row))
    expect(copy).toStrictEqual(row)
    expect(JSON.parse(JSON.stringify({ ...row, big: 0 }))).not.toStrictEqual({ ...row, big: 0 })
    expect(decode(encode(new Date(Number.NaN)))).toEqual(new Date(Number.NaN))
    expect(Object.keys(copy as object)).toEqual(['at', 'text', 'none', 'nothing', 'zero', 'big'])
  })

  it('returns a new copy in each call', () => {
    const text = encode({ at: new Date(1), list: [1] })
    const copy = decode(text) as { at: Date; list: number[] }
    copy.at.setTime(2)
    copy.list.push(2)
    expect(decode(text)).toStrictEqual({ at: new Date(1), list: [1] })
  })
})

describe('encode()', () => {
  it('returns plain JSON for plain values', () => {
    expect(encode({ a: [1, 'x', null, true] })).toBe('\n{"a":[1,"x",null,true]}')
  })

  it.each([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a Map', new Map()],
    ['an instance of a class', new (class Row {})()],
  ])('throws for %s, which decode() could not return', (_, value) => {
    expect(() => encode({ value })).toThrow(TypeError)
  })
})
