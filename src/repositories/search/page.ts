import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import { parseQuery, type SearchQuery } from '../../search/query.ts'
import { rule } from '../../validation/fast-path.ts'
import { invalidInput, parseInput } from '../../validation/input.ts'
import type { SearchOrder, SearchPage } from './types.ts'

const MAX_QUERY_LENGTH = 1000

const querySchema = rule<string>(
  (query) => typeof query === 'string' && query.length <= MAX_QUERY_LENGTH,
  `must be text of at most ${MAX_QUERY_LENGTH} characters`,
)

export const orderSchema = z.enum(['newest', 'relevance'])

/**
 * Reads the query of a search.
 *
 * @throws {INVALID_INPUT} when the query is not a text, or too long
 * @throws {INVALID_STATE} when the search is switched off
 */
export function readQuery(query: unknown, db: Pick<Db, 'search'>): SearchQuery {
  const text = parseInput(querySchema, query, 'query')
  checkSearch(db)
  return parseQuery(text)
}

/**
 * Checks that the search is switched on.
 *
 * @throws {INVALID_STATE} when it is switched off
 */
export function checkSearch({ search }: Pick<Db, 'search'>): void {
  if (search) return
  const message =
    'The texts are not indexed, so they cannot be searched: set database.options.search to true in the configuration'
  throw new StorageError('INVALID_STATE', message)
}

/** Where a page begins: after the hit with this score and document. */
export interface Start {
  beforeScore: number
  before: number
}

/**
 * Returns where the page of a cursor begins.
 *
 * @throws {INVALID_INPUT} when it is not a cursor of this search
 */
export function startOf(name: string, order: SearchOrder, cursor: string | undefined): Start {
  if (cursor === undefined) return { beforeScore: Number.POSITIVE_INFINITY, before: Number.MAX_SAFE_INTEGER }
  const [given, before, score] = parseArray(Buffer.from(cursor, 'base64url').toString())
  const isScore = order === 'newest' ? score === undefined : typeof score === 'number'
  if (given !== `${name} ${order}` || !Number.isSafeInteger(before) || !isScore) {
    throw invalidInput([{ path: 'options.cursor', message: 'must be the nextCursor of a page of the same search' }])
  }
  return { before: Number(before), beforeScore: Number(score ?? 0) }
}

function parseArray(text: string): unknown[] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

interface Row {
  doc: number
  score?: number | null
}

/** Makes a page of the rows, of which one more than `limit` was asked for. */
export function searchPage<R extends Row, Hit>(
  rows: readonly R[],
  { name, order, limit }: { name: string; order: SearchOrder; limit: number },
  isIncomplete: boolean,
  hitOf: (row: R) => Hit,
): SearchPage<Hit> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const page: SearchPage<Hit> = { items: shown.map(hitOf) }
  if (rows.length > limit && last !== undefined) {
    const place = order === 'newest' ? [last.doc] : [last.doc, last.score]
    page.nextCursor = Buffer.from(JSON.stringify([`${name} ${order}`, ...place])).toString('base64url')
  }
  if (isIncomplete) page.incomplete = true
  return page
}
