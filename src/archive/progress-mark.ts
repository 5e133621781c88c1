import { and, gte, lt } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Db } from '../database/db.ts'
import { readProperty, removeProperty, setProperty } from '../database/identity.ts'
import { statement } from '../database/statement.ts'
import { ARCHIVED } from './tables.ts'

const count = z.int().check(z.gte(0))

const markSchema = z.strictObject({
  table: z.enum(ARCHIVED),
  /** Number of rows of the table that are done. */
  rows: count,
  /** The primary key of the last of them. */
  after: z.array(z.union([z.string(), z.number()])),
  outcomes: z.record(z.string(), z.strictObject({ inserted: count, unchanged: count, refused: count })),
})

/** How far rows of one source have come into a database. */
export type Mark = z.output<typeof markSchema>

/** The mark of a call that begins anew. */
const BEGINNING: Mark = { table: ARCHIVED[0], rows: 0, after: [], outcomes: {} }

const replaceMarks = statement(({ orm, tables: { properties: p } }, arg: { value: string }) =>
  orm
    .update(p)
    .set({ value: arg.value })
    .where(and(gte(p.name, 'archive:'), lt(p.name, 'archive;'))),
)

/**
 * Lets all calls that were interrupted begin anew, since rows before their marks are removed. A mark also has the key of a row,
 * which may be one of these.
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

  /** `source` names where the rows come from: the checksum of an archive, or the id of a database. */
  constructor(source: string) {
    this.#name = `archive:${source}`
  }

  /** Returns the mark that an earlier call has left, if there is one of this version. */
  async read(db: Db): Promise<Mark | undefined> {
    const text = await readProperty(db, this.#name)
    return text === undefined ? undefined : markSchema.safeParse(JSON.parse(text)).data
  }

  write(tx: Db, mark: Mark): Promise<void> {
    return setProperty(tx, this.#name, JSON.stringify(mark))
  }

  remove(db: Db): Promise<void> {
    return removeProperty(db, this.#name)
  }
}
