import { and, eq, exists, inArray, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { ignoreReadOnly } from '../../database/identity.ts'
import { isOwn, isVisible } from '../../database/owner.ts'
import { type Builder, batch, statement } from '../../database/statement.ts'
import type { SearchQuery } from '../../search/query.ts'
import { hashOfText } from '../../search/vectors.ts'
import type { Embedding } from '../context.ts'
import { memoryColumns } from '../memories/list.ts'
import { type Memory, sourceSchema, tagsSchema } from '../memories/types.ts'
import { foundDocs, isOwnEntry } from '../search/docs.ts'
import { matchOf } from '../search/match.ts'
import { memoryIndex } from '../search/memories.ts'
import { startOf } from '../search/page.ts'
import { runSearch } from '../search/run.ts'
import { nearest, type VectorTable } from './nearest.ts'
import { type Loaded, type RecallSource, recall, recallShape } from './recall.ts'
import type { Recall, RecalledMemory } from './types.ts'

export const recallMemoriesSchema = z.strictObject({
  ...recallShape,
  tags: z.optional(tagsSchema),
  match: z.optional(z.enum(['any', 'all'])),
  source: z.optional(sourceSchema),
})

type Options = z.output<typeof recallMemoriesSchema>
type Filters = Pick<Options, 'tags' | 'match' | 'source'>

const vectorTable = ({ tables: { memoryEmbeddings: rows } }: Pick<Builder, 'tables'>): VectorTable => {
  return { rows, key: [rows.memoryId], name: 'memory_embeddings' }
}

/** Returns the conditions that the memory of a row meets the filters. */
function filtersOf(
  db: Builder,
  memoryId: PgColumn,
  { tags = [], match = 'any', source }: Filters,
): (SQL | undefined)[] {
  const { memories: m, memoryTags: t } = db.tables
  const hasTag = (some: readonly string[]) =>
    exists(
      db.orm
        .select({ tag: t.tag })
        .from(t)
        .where(and(eq(t.memoryId, memoryId), inArray(t.tag, [...some]), isOwn(db, t))),
    )
  const groups = match === 'all' ? tags.map((tag) => [tag]) : tags.length > 0 ? [tags] : []
  const isOfSource = (wanted: string) =>
    exists(
      db.orm
        .select({ id: m.id })
        .from(m)
        .where(and(eq(m.id, memoryId), sql`${m.source} = ${wanted}`, isVisible(db, m))),
    )
  return [...groups.map(hasTag), source === undefined ? undefined : isOfSource(source)]
}

const selectMemory = statement((db, arg: { id: string; model: string }) => {
  const { memories: m, memoryEmbeddings: e } = db.tables
  return db.orm
    .select({ ...memoryColumns(db), vector: e.vector, textHash: e.textHash })
    .from(m)
    .leftJoin(e, and(eq(e.memoryId, m.id), eq(e.model, arg.model), isVisible(db, e)))
    .where(and(eq(m.id, arg.id), isVisible(db, m)))
})

const removeVector = statement((db, arg: { id: string; textHash: string }) => {
  const { memoryEmbeddings: e } = db.tables
  return db.orm.delete(e).where(and(eq(e.memoryId, arg.id), eq(e.textHash, arg.textHash), isVisible(db, e)))
})

/** Finds memories by their words, by their meaning, or by both. See `Memories.recall`. */
export async function recallMemories(
  db: Db,
  embedding: Embedding | undefined,
  query: string,
  options: Options,
): Promise<Recall<RecalledMemory>> {
  const model = embedding?.model.key ?? ''
  const source: RecallSource<Memory> = {
    async nearest(vector, count) {
      const wanted = (builder: Builder) => {
        const { memoryEmbeddings: e } = builder.tables
        const conditions = [isVisible(builder, e), ...filtersOf(builder, e.memoryId, options)]
        return { model, vector, count, conditions }
      }
      const keys = await nearest(db, vectorTable, wanted, embedding?.pgvector)
      return keys.map(([id]) => String(id))
    },
    byWords: (words, count) => byWords(db, words, count, options),
    async load(keys) {
      const rows = await batch(
        db,
        keys.map((id) => selectMemory.with({ id, model })),
      )
      return new Map(
        rows.flat().map(({ vector, textHash, ...memory }): [string, Loaded<Memory>] => {
          return [memory.id, { item: memory, textHash: hashOfText(memory.content), stored: { vector, textHash } }]
        }),
      )
    },
    async forget(id, textHash) {
      await removeVector.all(db, { id, textHash }).catch(ignoreReadOnly)
      embedding?.written({ memoryId: id })
    },
  }
  const { items, ...rest } = await recall(db, embedding, query, options, source)
  return { items: items.map(({ item: memory, ...found }) => ({ memory, ...found })), ...rest }
}

async function byWords(db: Db, query: SearchQuery, limit: number, filters: Filters) {
  if (query.required.length === 0) return { found: [], isIncomplete: false }
  const arg = { ...matchOf(db.dialect, query, { owner: db.owner }), ...startOf('', 'relevance', undefined), limit }
  const select = statement((builder: Builder, _: object) => {
    const { memorySearch: e } = builder.tables
    const conditions = [isOwnEntry(builder, e), ...filtersOf(builder, e.memoryId, filters)]
    const shape = { order: 'relevance', isNarrow: db.owner !== undefined, conditions } as const
    return builder.orm
      .select({ key: e.memoryId, score: sql<number>`found.score`.as('score') })
      .from(foundDocs(builder, memoryIndex(builder), shape, arg))
      .innerJoin(e, and(eq(e.doc, sql`found.doc`), isVisible(builder, e)))
      .orderBy(sql`found.score desc`, sql`${e.doc} desc`)
  })
  const { rows, isIncomplete } = await runSearch(db, select.with({}))
  return { found: rows, isIncomplete }
}
