import { randomUUID } from 'node:crypto'
import { and, eq, gte, lt, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { removeProperty, setProperty } from '../database/identity.ts'
import { statement } from '../database/statement.ts'
import { ARCHIVED } from './tables.ts'

const count = z.int().check(z.gte(0))

const markSchema = z.strictObject({
  /** The call that has the mark. An erasure takes it away, so that the call writes no mark any more. */
  call: z.optional(z.string()),
  table: z.enum(ARCHIVED),
  /** Number of rows of the table that are done. */
  rows: count,
  /** The primary key of the last of them. */
  after: z.array(z.union([z.string(), z.number()])),
  outcomes: z.record(z.string(), z.strictObject({ inserted: count, unchanged: count, refused: count })),
})

/** How far rows of one source have come into a database. */
export type Mark = Omit<z.output<typeof markSchema>, 'call'>

/** The mark of a call that begins anew. */
const BEGINNING: Mark = { table: ARCHIVED[0], rows: 0, after: [], outcomes: {} }

const replaceMarks = statement(({ orm, tables: { properties: p } }, arg: { value: string }) =>
  orm
    .update(p)
    .set({ value: arg.value })
    .where(and(gte(p.name, 'archive:'), lt(p.name, 'archive;'))),
)

const insertMark = statement(({ orm, tables: { properties: p } }, arg: { name: string; value: string }) =>
  orm.insert(p).values({ name: arg.name, value: arg.value }).onConflictDoNothing().returning({ name: p.name }),
)

/** Reads a mark with an update, which waits for those who write it. */
const lockMark = statement(({ orm, tables: { properties: p } }, arg: { name: string }) =>
  orm
    .update(p)
    .set({ value: sql`${p.value}` })
    .where(eq(p.name, arg.name))
    .returning({ value: p.value }),
)

const moveMark = statement(({ orm, tables: { properties: p } }, arg: { name: string; value: string; before: string }) =>
  orm
    .update(p)
    .set({ value: arg.value })
    .where(and(eq(p.name, arg.name), sql`${p.value} like ${arg.before}`)),
)

/**
 * Lets all calls that were interrupted begin anew, also those that go on now and are interrupted later, since rows before their
 * marks are removed. A mark also has the key of a row, which may be one of these.
 */
export async function beginAnew(db: Db): Promise<void> {
  await replaceMarks.all(db, { value: JSON.stringify(BEGINNING) })
}

/**
 * Keeps the mark of one source in the database that receives its rows. It is written by the transaction that writes the rows, so
 * that a process may be killed at any moment.
 */
export class ProgressMark {
  readonly #name: string
  readonly #call = randomUUID()

  /** `source` names where the rows come from: the checksum of an archive, or the id of a database. */
  constructor(source: string) {
    this.#name = `archive:${source}`
  }

  /** Takes over the mark that an earlier call has left, and returns it, if there is one of this version. */
  take(db: Db): Promise<Mark | undefined> {
    return db.transaction(async (tx) => {
      const inserted = await insertMark.first(tx, { name: this.#name, value: this.#textOf(BEGINNING) })
      if (inserted !== undefined) return undefined
      const left = await lockMark.first(tx, { name: this.#name })
      const mark = left && markSchema.safeParse(JSON.parse(left.value)).data
      await setProperty(tx, this.#name, this.#textOf(mark ?? BEGINNING))
      return mark
    })
  }

  /** Moves the mark, unless an erasure has reset it or another call has taken it: then it stays as it is. */
  async write(tx: Db, mark: Mark): Promise<void> {
    await moveMark.all(tx, { name: this.#name, value: this.#textOf(mark), before: `{"call":"${this.#call}"%` })
  }

  remove(db: Db): Promise<void> {
    return removeProperty(db, this.#name)
  }

  #textOf(mark: Mark): string {
    const { table, rows, after, outcomes } = mark // it may have the call that has left it
    return JSON.stringify({ call: this.#call, table, rows, after, outcomes })
  }
}
