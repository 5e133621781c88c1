import { and, desc, eq, gte, ne, or, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { type Builder, batch, rowsStatement, statement } from '../../database/statement.ts'
import { currentGeneration } from './generation.ts'
import { replaceTerms } from './memory-entries.ts'
import type { SearchState } from './state.ts'
import { termsOf } from './terms.ts'

interface Place {
  createdAt: Date
  id: string
}

const selectMemories = { first: memoriesAfter(false), next: memoriesAfter(true) }

function memoriesAfter(hasPlace: boolean) {
  return statement(({ orm, tables: { memories: m } }, arg: Place & { limit: number }) =>
    orm
      .select({ id: m.id, createdAt: m.createdAt })
      .from(m)
      .where(hasPlace ? sql`(${m.createdAt}, ${m.id}) < (${arg.createdAt}, ${arg.id})` : undefined)
      .orderBy(desc(m.createdAt), desc(m.id))
      .limit(arg.limit),
  )
}

/** The texts that have no entry of the current generation, down to a place. Locks them, so that no update comes between. */
const selectTexts = { first: textsAfter(() => undefined), next: textsAfter(isAfter) }

type Range = Place & { lastCreatedAt: Date; lastId: string }

function isAfter({ tables: { memories: m } }: Builder, arg: Place): SQL {
  return sql`(${m.createdAt}, ${m.id}) < (${arg.createdAt}, ${arg.id})`
}

function textsAfter(after: (db: Builder, arg: Place) => SQL | undefined) {
  return statement((db, arg: Range) => {
    const { memories: m, memorySearch: e } = db.tables
    const select = db.orm
      .select({ id: m.id, ownerId: m.ownerId, content: m.content, doc: e.doc })
      .from(m)
      .leftJoin(e, eq(e.memoryId, m.id))
      .where(
        and(
          after(db, arg),
          gte(sql`(${m.createdAt}, ${m.id})`, sql`(${arg.lastCreatedAt}, ${arg.lastId})`),
          or(sql`${e.doc} is null`, ne(e.generation, currentGeneration(db))),
        ),
      )
      .orderBy(desc(m.createdAt), desc(m.id))
    return db.dialect === 'postgres' ? select.for('share', { of: m }) : select
  })
}

interface Entry {
  doc: number
  memoryId: string
  ownerId: string
  terms: string
}

const selectLowestDoc = statement(({ orm, tables: { memorySearch: e } }, _: object) =>
  orm.select({ doc: sql<number>`coalesce(min(${e.doc}), 1)`.mapWith(Number) }).from(e),
)

const insertEntries = rowsStatement((db, rows: Entry[]) => {
  const values = rows.map(({ doc, memoryId, ownerId, terms }) => {
    return { doc: sql`${doc}`, memoryId, ownerId, generation: currentGeneration(db), terms }
  })
  const insert = db.orm.insert(db.kit.entries.memories)
  return (db.dialect === 'postgres' ? insert.overridingSystemValue() : insert).values(values)
})

const updateEntry = statement((db, arg: Pick<Entry, 'doc' | 'terms'>) =>
  replaceTerms(db, arg.terms, eq(db.tables.memorySearch.doc, arg.doc)),
)

/** Memories are short, up to 10,000 characters: a transaction takes this part of the texts it may. */
const PART = 5

/** Indexes memories from a place on, the newest first. Returns the place after them, and how many were indexed. */
export async function backfillMemories(
  tx: Db,
  from: SearchState['memories'],
  rows: number,
): Promise<{ indexed: number } & Pick<SearchState, 'phase' | 'memories'>> {
  const limit = Math.ceil(rows / PART)
  const place = { createdAt: new Date(from?.createdAt ?? 0), id: from?.id ?? '' }
  const select = from === undefined ? 'first' : 'next'
  const found = await selectMemories[select].all(tx, { ...place, limit })
  const last = found.at(-1)
  if (last === undefined) return { indexed: 0, phase: 'complete' }
  const texts = await selectTexts[select].all(tx, { ...place, lastCreatedAt: last.createdAt, lastId: last.id })
  const lowest = (await selectLowestDoc.first(tx, {}))?.doc ?? 1
  const entries = texts.map(({ id, ownerId, content, doc }, i) => {
    const isNew = doc === null
    return { memoryId: id, ownerId, terms: termsOf(tx.dialect, content), doc: doc ?? lowest - 1 - i, isNew }
  })
  await batch(tx, [
    ...insertEntries.with(entries.filter(({ isNew }) => isNew)),
    ...entries.filter(({ isNew }) => !isNew).map((entry) => updateEntry.with(entry)),
  ])
  const isEnd = found.length < limit
  const memories = { createdAt: last.createdAt.getTime(), id: last.id }
  return isEnd
    ? { indexed: entries.length, phase: 'complete' }
    : { indexed: entries.length, phase: 'memories', memories }
}
