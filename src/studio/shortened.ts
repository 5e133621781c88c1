/** What an item of a list may take as JSON, in UTF-16 units. A larger item is cut, and can be asked for by itself. */
const ITEM_UNITS = 16_384
const STRING_UNITS = 4000
const ENTRIES = 50
const DEPTH = 12
/** Ids, roles and states of an item are kept whatever stands before them. */
const NAME_UNITS = 256
const NAME_DEPTH = 2

/** A page of a list, in which large items are cut. */
export interface ShortenedPage {
  items: unknown[]
  nextCursor?: string
  /** The size of each item that was cut, in UTF-16 units of JSON, by its index. */
  shortened?: Record<number, number>
}

/** Cuts the large items of a page, so that a page of a list is at most a few MiB whatever is stored. */
export function shortenedPage<Item>({
  items,
  ...rest
}: {
  items: readonly Item[]
  nextCursor?: string | undefined
}): ShortenedPage {
  const sizes: Record<number, number> = {}
  const cut = items.map((item, i) => {
    const size = JSON.stringify(item).length
    if (size <= ITEM_UNITS) return item
    sizes[i] = size
    return excerpt(item, { left: ITEM_UNITS }, 0)
  })
  return { items: cut, ...rest, ...(Object.keys(sizes).length > 0 && { shortened: sizes }) }
}

/** Returns the beginning of a value: of its texts, lists and objects. `budget` counts what is left. */
function excerpt(value: unknown, budget: { left: number }, depth: number): unknown {
  if (typeof value === 'string') {
    if (value.length <= NAME_UNITS && depth <= NAME_DEPTH) return value
    const kept = beginningOf(value, Math.max(0, Math.min(STRING_UNITS, budget.left)))
    budget.left -= kept.length
    return kept.length < value.length ? `${kept}…` : value
  }
  budget.left -= 4
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (depth >= DEPTH || budget.left <= 0) return '…'
  if (Array.isArray(value)) {
    const kept: unknown[] = []
    for (const item of value.slice(0, ENTRIES)) {
      if (budget.left <= 0) break
      kept.push(excerpt(item, budget, depth + 1))
    }
    return kept
  }
  const kept: [string, unknown][] = []
  for (const [key, item] of Object.entries(value).slice(0, ENTRIES)) {
    budget.left -= key.length
    if (budget.left <= 0 && depth > 0) break // the fields of the item itself are few, and all are needed
    kept.push([key.slice(0, STRING_UNITS), excerpt(item, budget, depth + 1)])
  }
  return Object.fromEntries(kept)
}

/** Returns the first units of a text, without half of a surrogate pair at the end. */
function beginningOf(text: string, units: number): string {
  return /[\ud800-\udbff]/.test(text.charAt(units - 1)) ? text.slice(0, units - 1) : text.slice(0, units)
}
