import { gte, lt } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import * as z from 'zod/mini'
import type { Tables } from '../../schema/tables.ts'
import { prefixSchema } from '../../validation/input.ts'
import { pageSchema } from './page.ts'

/** Checks the options of a list of keys: a prefix and `PageOptions`. */
export const prefixPageSchema = z.strictObject({ prefix: z.optional(prefixSchema), ...pageSchema.shape })

/** Makes the filters of `pagedQuery` that take a `PrefixRange` of a column. */
export function prefixFilters(column: (tables: Tables) => PgColumn) {
  return {
    from: (tables: Tables, from: string) => gte(column(tables), from),
    before: (tables: Tables, before: string) => lt(column(tables), before),
  }
}

/** The keys that begin with a prefix, as a range: at least `from`, less than `before`. An absent bound is open. */
export interface PrefixRange {
  from?: string
  before?: string
}

/**
 * Returns the range of the keys that begin with `prefix`. Unlike LIKE, a range takes `%` and `_` literally and can use an
 * index. Keys are compared by code point, the order of both databases.
 */
export function prefixRange(prefix = ''): PrefixRange {
  if (prefix === '') return {}
  const before = successor(prefix)
  return before === undefined ? { from: prefix } : { from: prefix, before }
}

/** Returns the least text that is greater than every text with the prefix, or undefined if there is none. */
function successor(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === 0x10ffff) continue
    const next = last === 0xd7ff ? 0xe000 : last + 1 // skips the surrogates, which are not characters
    return String.fromCodePoint(...points, next)
  }
  return undefined
}
