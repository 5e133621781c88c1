import { eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'

/** The rows of blob_usage, which a migration put there: what the contents take, how many they are, and how many records. */
export const COUNTERS = { bytes: 1, contents: 2, records: 3 } as const

/**
 * Takes the row that whoever changes contents, leases, records or counters holds to the end of the transaction, before
 * anything else. They follow each other, so what one of them reads is true until it commits, and none waits crosswise.
 */
export const lockUsage = statement(({ orm, tables: { blobUsage: u } }, _: object) =>
  orm
    .update(u)
    .set({ used: sql`${u.used}` })
    .where(eq(u.id, COUNTERS.bytes)),
)

/** What a content of a size counts for in each of its two counters. */
export const amountOf = ({ blobUsage: u }: Tables, size: number) =>
  sql`case ${u.id} when ${sql.raw(String(COUNTERS.bytes))} then cast(${size} as bigint) else 1 end`

export const ofContents = ({ blobUsage: u }: Tables) => inArray(u.id, [COUNTERS.bytes, COUNTERS.contents])

const selectCounters = statement(({ orm, tables: { blobUsage: u } }, _: object) =>
  orm.select({ id: u.id, used: u.used }).from(u),
)

/** What the usage says; it need not be counted. */
export async function readUsage(db: Db): Promise<Record<keyof typeof COUNTERS, number>> {
  const used = new Map((await selectCounters.all(db, {})).map((row) => [row.id, row.used]))
  const counter = (id: number) => used.get(id) ?? 0
  return {
    bytes: counter(COUNTERS.bytes),
    contents: counter(COUNTERS.contents),
    records: counter(COUNTERS.records),
  }
}

/** Takes a content that was removed off the counters. */
export const subtractUsage = statement(({ orm, tables }, arg: { size: number }) =>
  orm
    .update(tables.blobUsage)
    .set({ used: sql`${tables.blobUsage.used} - ${amountOf(tables, arg.size)}` })
    .where(ofContents(tables)),
)

export const countRecords = statement(({ orm, tables: { blobUsage: u } }, arg: { change: number }) =>
  orm
    .update(u)
    .set({ used: sql`${u.used} + cast(${arg.change} as bigint)` })
    .where(eq(u.id, COUNTERS.records)),
)

export const setUsage = statement(({ orm, tables: { blobUsage: u } }, arg: { id: number; used: number }) =>
  orm
    .insert(u)
    .values({ id: arg.id, used: arg.used })
    .onConflictDoUpdate({ target: u.id, set: { used: arg.used } }),
)
