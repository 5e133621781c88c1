import { isPlainObject } from '../../validation/json.ts'

/** Where a string stands in a JSON value. */
export interface Place {
  /** The property that has the string, also through a list. Undefined outside of objects. */
  readonly key: string | undefined
  /** The objects around the string, the nearest first. */
  readonly around: readonly Record<string, unknown>[]
}

/** Properties that hold what people and models say. A text stays a text, whatever it looks like. */
const TEXTS = new Set(['text', 'content'])
const NOWHERE: Place = { key: undefined, around: [] }

/**
 * Returns the value with each string of its objects replaced by what `map` returns for it, but for texts. Returns the same
 * value if no string differs. What is no JSON, such as a Date, stays as it is.
 */
export function mapStrings<T>(value: T, map: (text: string, place: Place) => string, place?: Place): T
export function mapStrings(
  value: unknown,
  map: (text: string, place: Place) => string,
  place: Place = NOWHERE,
): unknown {
  if (typeof value === 'string') return place.key === undefined || TEXTS.has(place.key) ? value : map(value, place)
  if (Array.isArray(value)) {
    const items = value.map((item) => mapStrings(item, map, place))
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  if (!isPlainObject(value)) return value
  const around = [value, ...place.around]
  const entries = Object.entries(value).map(([key, item]) => [key, mapStrings(item, map, { key, around })] as const)
  return entries.some(([key, item]) => item !== value[key]) ? Object.fromEntries(entries) : value
}
