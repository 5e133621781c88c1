/** Maximum number of items that one call of the storage takes. */
export const MAX_ITEMS = 1000

/** Yields parts of a list that are short enough for one call. */
export function* partsOf<T>(list: readonly T[]): Generator<T[], void> {
  for (let start = 0; start < list.length; start += MAX_ITEMS) yield list.slice(start, start + MAX_ITEMS)
}
