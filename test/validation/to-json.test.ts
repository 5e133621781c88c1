import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { isStorageError, openStorage, toJson } from 'holdfast'
import { expect, test } from 'vitest'
import { quiet } from '../setup/silent.ts'

const at = new Date('2026-05-01T12:00:00Z')

test('toJson() returns JSON as it is, and shares nothing with it', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      expect(toJson(value)).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
  const given = { a: [1] }
  expect(toJson(given)).toEqual(given)
  expect(toJson(given)).not.toBe(given)
})

test('toJson() makes JSON of what the storage refuses', async () => {
  class Usage {
    tokens = 7
    get cost() {
      return 1
    }
  }
  const url = new URL('https://example.org/a')
  const answer = { at, usage: new Usage(), url, none: undefined, call() {}, list: [undefined, Number.NaN, at] }
  const kept = {
    at: '2026-05-01T12:00:00.000Z',
    usage: { tokens: 7 },
    url: 'https://example.org/a',
    list: [null, null, '2026-05-01T12:00:00.000Z'],
  }
  expect(toJson(answer)).toEqual(kept)
  expect(toJson(at)).toBe('2026-05-01T12:00:00.000Z')
  expect(toJson(runInNewContext('({ at: new Date(0), map: new Map([[1, 2]]) })'))).toEqual({
    at: '1970-01-01T00:00:00.000Z',
    map: {},
  })

  await using storage = await openStorage({}, quiet)
  await expect(storage.kv.set('answer', answer)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  await storage.kv.set('answer', toJson(answer))
  expect(await storage.kv.get('answer')).toEqual(kept)
})

test('toJson() refuses what JSON has no text for', () => {
  const ring: { ring?: unknown } = {}
  ring.ring = ring
  for (const value of [undefined, () => {}, Symbol('s'), 1n, { n: [1n] }, ring]) {
    const refused = failureOf(() => toJson(value))
    expect(isStorageError(refused, 'INVALID_INPUT') && refused.details.problems[0]?.path).toBe('value')
  }
})

test('the error for a value that is no JSON names its class, and what to do with a Date', async () => {
  await using storage = await openStorage({}, quiet)
  const messageFor = async (value: unknown) => {
    const refused = await storage.kv.set('k', { deep: [value] }).catch((error: unknown) => error)
    return isStorageError(refused, 'INVALID_INPUT') ? refused.message : ''
  }
  expect(await messageFor(at)).toMatch(/^value\.deep\.0: .* not Date: give its toISOString\(\), .*toJson\(\)$/)
  expect(await messageFor(new Map())).toMatch(/not Map$/)
  expect(await messageFor(new (class {})())).toMatch(/not an object of a class$/)
  expect(await messageFor(undefined)).toMatch(/not undefined$/)
  expect(await messageFor(1n)).toMatch(/not bigint$/)
})

function failureOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
