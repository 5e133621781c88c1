import { setImmediate as nextTurn } from 'node:timers/promises'
import { and, eq, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Db, DialectKit } from './db.ts'
import { keyset } from './paging/keyset.ts'
import { columnsOf } from './primary-key.ts'
import { type Statement, statement } from './statement.ts'

/** How many rows one statement reads. */
const BATCH_ROWS = 500
/** A row with more text than this is read by a statement of its own, so that a batch is never larger than 16 MiB. */
const ROW_BYTES = 32 * 1024

/** The values of a primary key by `k0`, `k1` and so on, and the row's text, or null if it is too long for a batch. */
type TextRow = Record<string, unknown> & { text: string | null }

interface TextScan {
  first: Statement<object, TextRow>
  next: Statement<Record<string, unknown>, TextRow>
  one: Statement<Record<string, unknown>, TextRow>
}

const scans = new Map<PgTable, TextScan>()

/**
 * Yields the texts of all rows of a table, in batches: one text for each row, in which its text and JSON columns stand
 * one after the other. `leaveOut` names columns that are not read, always the same for a table. Other work goes on between
 * two batches, so a row that changes meanwhile may be missed if its primary key changes, and only then.
 */
export async function* textsOf(db: Db, table: PgTable, leaveOut: readonly PgColumn[] = []): AsyncGenerator<string[]> {
  let scan = scans.get(table)
  if (scan === undefined) {
    scan = compile(db.kit, table, leaveOut)
    scans.set(table, scan)
  }
  const { first, next, one } = scan
  for (let rows = await first.all(db, {}); rows.length > 0; ) {
    const texts: string[] = []
    for (const row of rows) texts.push(row.text ?? (await one.first(db, row))?.text ?? '')
    yield texts
    const last = rows.at(-1)
    if (last === undefined || rows.length < BATCH_ROWS) return
    await nextTurn() // SQLite answers without waiting: a long table would stop the event loop
    rows = await next.all(db, last)
  }
}

function compile(kit: DialectKit, table: PgTable, leaveOut: readonly PgColumn[]): TextScan {
  const { dialect } = kit
  const { key, columns } = columnsOf(kit, table)
  const searched = columns.filter((column) => isText(column) && !leaveOut.includes(column))
  const text = sql.join(
    searched.map((column) => sql`coalesce(cast(${column} as text), '')`),
    sql` || ' ' || `,
  )
  // SQLite knows the length of a text without reading it if no cast hides the column.
  const bytes = sql.join(
    searched.map((column) => {
      return sql`coalesce(octet_length(${dialect === 'postgres' ? sql`cast(${column} as text)` : column}), 0)`
    }),
    sql` + `,
  )
  const keyFields = Object.fromEntries(key.map((column, i) => [`k${i}`, column]))
  const fields = {
    ...keyFields,
    text: sql<string | null>`case when ${bytes} <= ${sql.raw(String(ROW_BYTES))} then ${text} end`,
  }
  const batchOf = (hasAfter: boolean) =>
    statement((db, arg: Record<string, unknown>) => {
      const after = hasAfter ? key.map((_, i) => arg[`k${i}`]) : undefined
      const page = keyset(dialect, { columns: key, order: 'asc', after })
      return db.orm
        .select(fields)
        .from(table)
        .where(page.condition)
        .orderBy(...page.orderBy)
        .limit(BATCH_ROWS)
    })
  const one = statement((db, arg: Record<string, unknown>) =>
    db.orm
      .select({ text: sql<string | null>`${text}` })
      .from(table)
      .where(and(...key.map((column, i) => eq(column, arg[`k${i}`])))),
  )
  return { first: batchOf(false), next: batchOf(true), one }
}

const isText = (column: PgColumn) => /^(?:text|json)\b/.test(column.getSQLType())
