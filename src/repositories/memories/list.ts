import { and, count, eq, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { isOwn, isVisible, ofOwner } from '../../database/owner.ts'
import { notIndexable } from '../../database/paging/keyset.ts'
import { cursorOf, pagedQuery } from '../../database/paging/list-query.ts'
import { DEFAULT_LIMIT, type Page, type PageOptions } from '../../database/paging/page.ts'
import { type Builder, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { MemorySource } from '../../schema/values.ts'
import type { Memory } from './types.ts'

/** Occurs in no tag, since tags have no control characters. */
const TAG_SEPARATOR = '\u001f'

/** Lists the columns of a `Memory`, with its tags in the order they were given. */
export function memoryColumns(db: Builder) {
  const { memories: m, memoryTags: t } = db.tables
  // Not isVisible: SQLite would take the index of the owner's tags, and read all of them for each memory.
  const isItsTag = and(eq(t.memoryId, m.id), isOwn(db, t))
  return {
    id: m.id,
    ownerId: m.ownerId,
    content: m.content,
    tags: sql`(
    select coalesce(string_agg(${t.tag}, ${TAG_SEPARATOR} order by ${t.position}), '') from ${t} where ${isItsTag}
  )`.mapWith((tags: string) => (tags === '' ? [] : tags.split(TAG_SEPARATOR))),
    metadata: m.metadata,
    createdAt: m.createdAt,
    updatedAt: m.updatedAt,
  }
}

const filters = {
  source: ({ memories }: Tables, source: MemorySource) => eq(memories.source, source),
  pinned: ({ memories }: Tables, pinned: boolean) => eq(memories.pinned, pinned),
}

const name = 'memories'

const listAll = pagedQuery({
  name,
  select: (db) => db.orm.select(memoryColumns(db)).from(db.tables.memories),
  visible: (db) => isVisible(db, db.tables.memories),
  filters: { ...filters, ownerId: ({ memories }: Tables, ownerId: string) => ofOwner(memories, ownerId) },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ memories }) => memories.createdAt },
    { name: 'id', kind: 'text', column: ({ memories }) => memories.id },
  ],
})

const newestFirst = [
  { name: 'createdAt', kind: 'instant', column: ({ memoryTags }: Tables) => memoryTags.createdAt },
  { name: 'id', kind: 'text', column: ({ memoryTags }: Tables) => memoryTags.memoryId },
] as const

/** Walks the index of one tag, which has the order of the list, so other memories cost nothing. */
const listByTag = pagedQuery({
  name,
  select(db) {
    const { memories: m, memoryTags: t } = db.tables
    return db.orm
      .select(memoryColumns(db))
      .from(t)
      .innerJoin(m, and(eq(m.id, t.memoryId), isVisible(db, m)))
  },
  visible: (db) => isVisible(db, db.tables.memoryTags),
  partition: ({ memoryTags }) => memoryTags.tag,
  filters: {
    ...filters,
    ownerId: ({ memoryTags }: Tables, ownerId: string) => ofOwner(memoryTags, ownerId),
    otherTags: (_: Tables, tags: string[], db: Builder) => notIndexable(hasAllTags(db, tags)),
  },
  orderBy: newestFirst,
})

function hasAllTags(db: Builder, tags: string[]): SQL {
  const { memories: m, memoryTags: t } = db.tables
  const conditions = tags.map(
    (tag) => sql`exists (select 1 from ${t} where ${and(eq(t.memoryId, m.id), eq(t.tag, tag), isVisible(db, t))})`,
  )
  return sql.join(conditions, sql` and `)
}

const countUses = statement((db: Builder, arg: { tag: string; limit: number }) => {
  const { memoryTags: t } = db.tables
  // Ordered, so that PostgreSQL takes the index instead of the first rows it finds.
  const some = db.orm
    .select({ tag: t.tag })
    .from(t)
    .where(and(eq(t.tag, arg.tag), isVisible(db, t)))
    .orderBy(t.createdAt)
    .limit(arg.limit)
  return db.orm.select({ uses: count() }).from(some.as('some'))
})

/** The uses of a tag are counted up to this number. */
const MAX_COUNTED_USES = 1000

/**
 * Returns the tags in the order of their uses, the rarest first. Tags with `MAX_COUNTED_USES` or more count as equal.
 */
async function rarestFirst(db: Db, tags: readonly string[]): Promise<string[]> {
  const counted = tags.map(async (tag) => {
    return { tag, uses: (await countUses.first(db, { tag, limit: MAX_COUNTED_USES }))?.uses ?? 0 }
  })
  return (await Promise.all(counted)).sort((a, b) => a.uses - b.uses).map(({ tag }) => tag)
}

interface Filters {
  tags: string[]
  match: 'any' | 'all'
  source: MemorySource | undefined
  pinned: boolean | undefined
  ownerId: string | undefined
}

/** Returns a page of the memories that match all filters, the newest first. */
export async function listMemories(
  db: Db,
  { tags, match, ...rest }: Filters,
  page: PageOptions,
): Promise<Page<Memory>> {
  const [tag, ...furtherTags] = tags
  if (tag === undefined) return listAll(db, rest, page, 'desc')
  if (furtherTags.length === 0) return listByTag(db, { partition: tag, ...rest }, page, 'desc')
  if (match === 'any') {
    const pages = tags.map((each) => listByTag(db, { partition: each, ...rest }, page, 'desc'))
    return mergePages(await Promise.all(pages), page.limit)
  }
  const [rarest, ...otherTags] = await rarestFirst(db, tags)
  return listByTag(db, { partition: rarest, otherTags, ...rest }, page, 'desc')
}

/** Merges one page of each of several lists into one page. No list has to be read any further. */
function mergePages(pages: readonly Page<Memory>[], limit = DEFAULT_LIMIT): Page<Memory> {
  const byId = new Map(pages.flatMap(({ items }) => items.map((memory) => [memory.id, memory])))
  const all = [...byId.values()].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1))
  const items = all.slice(0, limit)
  const last = items.at(-1)
  const hasMore = all.length > limit || pages.some(({ nextCursor }) => nextCursor !== undefined)
  return hasMore && last ? { items, nextCursor: cursorOf({ name, orderBy: newestFirst }, last) } : { items }
}
