/** The keys that begin with `prefix`, as a range: from it, up to the first text that is past all of them. */
export interface PrefixRange {
  from?: string
  before?: string
}

/** A range and not LIKE: `%` and `_` mean themselves, and an index serves it. Code points, the order of both databases. */
export function prefixRange(prefix = ''): PrefixRange {
  if (prefix === '') return {}
  const before = successor(prefix)
  return before === undefined ? { from: prefix } : { from: prefix, before }
}

function successor(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue
    const next = last === 0xd7ff ? 0xe000 : last + 1 // surrogates are no characters
    return String.fromCodePoint(...points, next)
  }
  return undefined
}
