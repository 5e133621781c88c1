import * as z from 'zod/mini'
import { limitSchema } from '../../validation/input.ts'

/** One page of a list. */
export interface Page<T> {
  items: T[]
  /** The `cursor` of the call that returns the next page. Absent on the last page. */
  nextCursor?: string
}

/** Returns the page with each item replaced by `change(item)`. */
export function mapPage<From, To>({ items, ...rest }: Page<From>, change: (item: From) => To): Page<To> {
  return { items: items.map(change), ...rest }
}

export interface PageOptions {
  /** Maximum number of items: 1 to 1000. Default 50. */
  limit?: number | undefined
  /** The `nextCursor` of the previous page. Default: the first page. */
  cursor?: string | undefined
}

/** Checks `PageOptions`. A list with further options spreads `pageSchema.shape` into its own schema. */
export const pageSchema = z.strictObject({ limit: z.optional(limitSchema), cursor: z.optional(z.string()) })

export const DEFAULT_LIMIT = 50

export type Order = 'asc' | 'desc'
