import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { isVisible } from '../../database/owner.ts'
import { type Builder, type Built, type Call, statement } from '../../database/statement.ts'
import { currentGeneration } from './generation.ts'
import { termsOf } from './terms.ts'

interface Entry {
  memoryId: string
  terms: string
}

/** The owner is that of the memory. */
const insertEntry = statement((db: Builder, { memoryId, terms }: Entry) => {
  const { memories: m } = db.tables
  const ownerId = db.owner ?? sql`(select ${m.ownerId} from ${m} where ${eq(m.id, memoryId)})`
  return db.orm.insert(db.kit.entries.memories).values({ memoryId, ownerId, generation: currentGeneration(db), terms })
})

const updateEntry = statement((db: Builder, arg: Entry) => {
  const { memorySearch: e } = db.tables
  return replaceTerms(db, arg.terms, and(eq(e.memoryId, arg.memoryId), isVisible(db, e)))
})

/** Builds the statement that replaces the tokens of entries. */
export function replaceTerms(db: Builder, terms: string, isEntry: SQL | undefined): Built<never> {
  const { memories: e } = db.kit.entries
  const generation = currentGeneration(db)
  if (db.dialect === 'postgres') return db.orm.update(e).set({ terms, generation }).where(isEntry)
  const { doc, memoryId, ownerId } = db.tables.memorySearch
  const values = { generation: sql`${generation}`.as('generation'), terms: sql`${terms}`.as('terms') }
  return db.orm.insert(e).select(
    db.orm
      .select({ doc, memoryId, ownerId, ...values })
      .from(db.tables.memorySearch)
      .where(isEntry),
  )
}

/** Returns the call that indexes a new memory. It belongs after the insert, in the same batch. */
export function entryOfNew({ dialect, search }: Db, { id, content }: { id: string; content: string }): Call<never>[] {
  return search ? [insertEntry.with({ memoryId: id, terms: termsOf(dialect, content) })] : []
}

/** Returns the call that indexes the new content of a memory. A memory that has no entry yet is left to the backfill. */
export function entryOfChanged(
  { dialect, search }: Db,
  { id, content }: { id: string; content: string | undefined },
): Call<never>[] {
  return search && content !== undefined ? [updateEntry.with({ memoryId: id, terms: termsOf(dialect, content) })] : []
}
