import { eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'

/** The ids of the rows of `blob_usage`: size of all contents, number of contents, number of records. A migration inserts them. */
export const USAGE_ROWS = { bytes: 1, contents: 2, records: 3 } as const

/**
 * Locks the usage row until the transaction ends. All writers of contents, reservations, records or counters take this
 * lock first, so they are serialised and cannot deadlock.
 */
export const lockUsage = statement(({ orm, tables: { blobUsage: u } }, _: object) =>
  orm
    .update(u)
    .set({ used: sql`${u.used}` })
    .where(eq(u.id, USAGE_ROWS.bytes)),
)

/** Returns what a content adds to each of the two content counters: its size, or 1. */
export const usageOfContent = ({ blobUsage: u }: Tables, size: number) =>
  sql`case ${u.id} when ${sql.raw(String(USAGE_ROWS.bytes))} then cast(${size} as bigint) else 1 end`

/** Returns the condition that selects the two content counters. */
export const contentCounters = ({ blobUsage: u }: Tables) => inArray(u.id, [USAGE_ROWS.bytes, USAGE_ROWS.contents])

const selectUsage = statement(({ orm, tables: { blobUsage: u } }, _: object) =>
  orm.select({ id: u.id, used: u.used }).from(u),
)

/** Returns the counters. */
export async function readUsage(db: Db): Promise<Record<keyof typeof USAGE_ROWS, number>> {
  const used = new Map((await selectUsage.all(db, {})).map((row) => [row.id, row.used]))
  const counter = (id: number) => used.get(id) ?? 0
  return {
    bytes: counter(USAGE_ROWS.bytes),
    contents: counter(USAGE_ROWS.contents),
    records: counter(USAGE_ROWS.records),
  }
}

/** Subtracts a removed content from the usage. */
export const subtractUsage = statement(({ orm, tables }, arg: { size: number }) =>
  orm
    .update(tables.blobUsage)
    .set({ used: sql`${tables.blobUsage.used} - ${usageOfContent(tables, arg.size)}` })
    .where(contentCounters(tables)),
)

/** Adds `change` to the number of records. */
export const changeRecordCount = statement(({ orm, tables: { blobUsage: u } }, arg: { change: number }) =>
  orm
    .update(u)
    .set({ used: sql`${u.used} + cast(${arg.change} as bigint)` })
    .where(eq(u.id, USAGE_ROWS.records)),
)

export const setUsage = statement(({ orm, tables: { blobUsage: u } }, arg: { id: number; used: number }) =>
  orm
    .insert(u)
    .values({ id: arg.id, used: arg.used })
    .onConflictDoUpdate({ target: u.id, set: { used: arg.used } }),
)
