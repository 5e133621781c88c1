import { and, desc, eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { isVisible } from '../../database/owner.ts'
import { DEFAULT_LIMIT, pageSchema } from '../../database/paging/page.ts'
import { type Builder, type Statement, statement } from '../../database/statement.ts'
import { highlightsOf } from '../../search/highlights.ts'
import { memoryColumns } from '../memories/list.ts'
import type { Memory } from '../memories/types.ts'
import { foundDocs, isOwnEntry, type SearchArguments, type SearchIndex } from './docs.ts'
import { matchOf } from './match.ts'
import { orderSchema, readQuery, searchPage, startOf } from './page.ts'
import { runSearch } from './run.ts'
import type { MemoryHit, SearchOrder, SearchPage } from './types.ts'

export const searchMemoriesSchema = z.strictObject({ ...pageSchema.shape, order: z.optional(orderSchema) })

/** Returns the index of memories. */
export function memoryIndex({ kit, tables }: Builder): SearchIndex {
  return { rows: tables.memorySearch, terms: kit.entries.memories.terms, fts: 'memory_terms' }
}

type FoundMemory = Memory & { doc: number; score: number | null }

const selectHits = { newest: hitsStatement('newest'), relevance: hitsStatement('relevance') }

function hitsStatement(order: SearchOrder): Statement<SearchArguments, FoundMemory> {
  return statement<SearchArguments, FoundMemory>((db: Builder, arg) => {
    const { memories: m, memorySearch: e } = db.tables
    const isNarrow = db.owner !== undefined
    const found = foundDocs(db, memoryIndex(db), { order, isNarrow, conditions: [isOwnEntry(db, e)] }, arg)
    return db.orm
      .select({ ...memoryColumns(db), doc: e.doc, score: sql<number | null>`found.score` })
      .from(found)
      .innerJoin(e, and(eq(e.doc, sql`found.doc`), isVisible(db, e)))
      .innerJoin(m, and(eq(m.id, e.memoryId), isVisible(db, m)))
      .orderBy(...(order === 'relevance' ? [sql`found.score desc`] : []), desc(e.doc))
  })
}

const name = 'memories'

/** Searches memories. See `Memories.search`. */
export async function searchMemories(
  db: Db,
  given: string,
  { order = 'newest', limit = DEFAULT_LIMIT, cursor }: z.output<typeof searchMemoriesSchema>,
): Promise<SearchPage<MemoryHit>> {
  const query = readQuery(given, db)
  const start = startOf(name, order, cursor)
  if (query.required.length === 0) return { items: [] }
  const select = selectHits[order].with({
    ...matchOf(db.dialect, query, { owner: db.owner }),
    ...start,
    limit: limit + 1,
  })
  const { rows, isIncomplete } = await runSearch(db, select)
  return searchPage(rows, { name, order, limit }, isIncomplete, ({ doc: _, score, ...memory }): MemoryHit => {
    const { content: text } = memory
    return { memory, text, highlights: highlightsOf(text, query), ...(score !== null && { score }) }
  })
}
