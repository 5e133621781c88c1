import { messageOf } from '../caught.ts'
import type { Json } from '../schema/values.ts'
import { invalidInput } from './input.ts'

/**
 * Returns what `JSON.stringify` keeps of a value, for a framework's objects that the storage would refuse: a Date becomes its ISO
 * text, an object with `toJSON` what that returns, and any other object its own properties. What is undefined or a function is
 * dropped from objects and null in arrays, and so are NaN and the infinities. A Map and a Set become `{}`: make arrays of them
 * before. The result shares nothing with the value.
 *
 * @throws {INVALID_INPUT} when JSON has nothing for the value, such as undefined, or it contains itself or a bigint
 *
 * @example
 * ```ts
 * import { toJson } from 'holdfast'
 * const answer = { model: 'small', at: new Date('2026-05-01'), usage: undefined }
 * await storage.kv.set('answer', toJson(answer))
 * console.log(await storage.kv.get('answer')) // { model: 'small', at: '2026-05-01T00:00:00.000Z' }
 * ```
 */
export function toJson(value: unknown): Json {
  const text = textOf(value)
  if (text === undefined)
    throw invalidInput([{ path: 'value', message: `must be something in JSON, not ${typeof value}` }])
  return JSON.parse(text)
}

/** Returns undefined if JSON has no text for the value, which the type of JSON.stringify does not say. */
function textOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (error) {
    throw invalidInput([{ path: 'value', message: `must be what JSON.stringify takes: ${messageOf(error)}` }])
  }
}
