import { and, eq, sql } from 'drizzle-orm'
import { type Builder, statement } from '../../../database/statement.ts'
import type { Location } from '../backend.ts'

type Place = Pick<Location, 'hash' | 'generation'>
type Part = Place & { start: number }

const isObject = ({ tables: { blobChunks: c } }: Builder, { hash, generation }: Place) =>
  and(eq(c.hash, hash), eq(c.generation, generation))

/** Stores a part, unless it is there. */
export const insertPart = statement((db, arg: Part & { storedAt: Date; data: Uint8Array }) => {
  const { hash, generation, start, storedAt, data } = arg
  return db.orm.insert(db.tables.blobChunks).values({ hash, generation, start, storedAt, data }).onConflictDoNothing()
})

export const selectPart = statement((db, arg: Part) => {
  const { blobChunks: c } = db.tables
  return db.orm
    .select({ data: c.data })
    .from(c)
    .where(and(isObject(db, arg), eq(c.start, arg.start)))
})

/** Measures an object, without reading its bytes. */
export const measureObject = statement((db, arg: Place) => {
  const { blobChunks: c } = db.tables
  return db.orm
    .select({
      parts: sql`count(*)`.mapWith(Number),
      size: sql`coalesce(sum(length(${c.data})), 0)`.mapWith(Number),
      storedAt: sql`min(${c.storedAt})`.mapWith(c.storedAt),
    })
    .from(c)
    .where(isObject(db, arg))
})

export const removeObject = statement((db, arg: Place) =>
  db.orm.delete(db.tables.blobChunks).where(isObject(db, arg)).returning({ start: db.tables.blobChunks.start }),
)

export const selectObjects = statement(({ orm, tables: { blobChunks: c } }, arg: Place & { limit: number }) =>
  orm
    .select({
      hash: c.hash,
      generation: c.generation,
      size: sql`sum(length(${c.data}))`.mapWith(Number),
    })
    .from(c)
    .where(sql`(${c.hash}, ${c.generation}) > (${arg.hash}, ${arg.generation})`)
    .groupBy(c.hash, c.generation)
    .orderBy(c.hash, c.generation)
    .limit(arg.limit),
)
