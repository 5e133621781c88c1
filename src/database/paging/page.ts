/** A part of a list; `nextCursor`, where there is more, is the `cursor` of the call for what follows. */
export interface Page<T> {
  items: T[]
  nextCursor?: string
}

export interface PageOptions {
  /** How many items at most: 1 to 1000. Default 50. */
  limit?: number | undefined
  /** The `nextCursor` of the page before. */
  cursor?: string | undefined
}

export const DEFAULT_LIMIT = 50

export type Order = 'asc' | 'desc'
