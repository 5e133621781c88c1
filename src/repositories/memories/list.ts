import { and, count, eq, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { notIndexable } from '../../database/paging/keyset.ts'
import { cursorOf, pagedQuery } from '../../database/paging/list-query.ts'
import { DEFAULT_LIMIT, type Page, type PageOptions } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { MemorySource } from '../../schema/values.ts'
import type { Memory } from './types.ts'

/** No tag holds one: tags have no control characters. */
const SEPARATOR = '\u001f'

/** A memory, its tags in the order they were given. */
export const memoryColumns = ({ memories: m, memoryTags: t }: Tables) => ({
  id: m.id,
  content: m.content,
  tags: sql`(
    select coalesce(string_agg(${t.tag}, ${SEPARATOR} order by ${t.position}), '') from ${t} where ${t.memoryId} = ${m.id}
  )`.mapWith((tags: string) => (tags === '' ? [] : tags.split(SEPARATOR))),
  metadata: m.metadata,
  createdAt: m.createdAt,
  updatedAt: m.updatedAt,
})

const filters = {
  source: ({ memories }: Tables, source: MemorySource) => eq(memories.source, source),
  pinned: ({ memories }: Tables, pinned: boolean) => eq(memories.pinned, pinned),
}

const name = 'memories'

const listAll = pagedQuery({
  name,
  select: ({ orm, tables }) => orm.select(memoryColumns(tables)).from(tables.memories),
  filters,
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ memories }) => memories.createdAt },
    { name: 'id', kind: 'text', column: ({ memories }) => memories.id },
  ],
})

const newest = [
  { name: 'createdAt', kind: 'instant', column: ({ memoryTags }: Tables) => memoryTags.createdAt },
  { name: 'id', kind: 'text', column: ({ memoryTags }: Tables) => memoryTags.memoryId },
] as const

/** Memories with a tag, by its index, which is in the order of the list: what other memories there are costs nothing. */
const listTagged = pagedQuery({
  name,
  select: ({ orm, tables }) => {
    const { memories: m, memoryTags: t } = tables
    return orm.select(memoryColumns(tables)).from(t).innerJoin(m, eq(m.id, t.memoryId))
  },
  partition: ({ memoryTags }) => memoryTags.tag,
  filters: { ...filters, also: (tables, tags: string[]) => notIndexable(hasAll(tables, tags)) },
  orderBy: newest,
})

function hasAll({ memories: m, memoryTags: t }: Tables, tags: string[]): SQL {
  const each = tags.map((tag) => sql`exists (select 1 from ${t} where ${and(eq(t.memoryId, m.id), eq(t.tag, tag))})`)
  return sql.join(each, sql` and `)
}

const countUses = statement(({ orm, tables: { memoryTags: t } }, arg: { tag: string; limit: number }) => {
  // Ordered so that PostgreSQL takes the index, and not the first rows that it finds.
  const some = orm.select({ tag: t.tag }).from(t).where(eq(t.tag, arg.tag)).orderBy(t.createdAt).limit(arg.limit)
  return orm.select({ uses: count() }).from(some.as('some'))
})

/** How far the uses of a tag are counted. */
const COUNTED = 1000

/** The tags, the one that is used least first, as far as a short count tells. */
async function byUses(db: Db, tags: readonly string[]): Promise<string[]> {
  const counted = tags.map(async (tag) => {
    return { tag, uses: (await countUses.first(db, { tag, limit: COUNTED }))?.uses ?? 0 }
  })
  return (await Promise.all(counted)).sort((a, b) => a.uses - b.uses).map(({ tag }) => tag)
}

interface Filters {
  tags: string[]
  match: 'any' | 'all'
  source: MemorySource | undefined
  pinned: boolean | undefined
}

/** Memories that fit, the newest first. */
export async function listMemories(
  db: Db,
  { tags, match, ...rest }: Filters,
  page: PageOptions,
): Promise<Page<Memory>> {
  const [tag, ...more] = tags
  if (tag === undefined) return listAll(db, rest, page, 'desc')
  if (more.length === 0) return listTagged(db, { partition: tag, ...rest }, page, 'desc')
  if (match === 'any') {
    const lists = tags.map((each) => listTagged(db, { partition: each, ...rest }, page, 'desc'))
    return merged(lists, page.limit)
  }
  const [rarest, ...also] = await byUses(db, tags)
  return listTagged(db, { partition: rarest, also, ...rest }, page, 'desc')
}

/** One page out of the same page of several lists: none of them has to be read further, however long it is. */
async function merged(lists: Promise<Page<Memory>>[], limit = DEFAULT_LIMIT): Promise<Page<Memory>> {
  const pages = await Promise.all(lists)
  const byId = new Map(pages.flatMap(({ items }) => items.map((memory) => [memory.id, memory])))
  const all = [...byId.values()].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1))
  const items = all.slice(0, limit)
  const last = items.at(-1)
  const more = all.length > limit || pages.some(({ nextCursor }) => nextCursor !== undefined)
  return more && last ? { items, nextCursor: cursorOf({ name, orderBy: newest }, last) } : { items }
}
