import { type DatabaseSource, statements, traced } from '../observability/channels.ts'
import type { Query, Row } from './query.ts'

/** Runs one query, and publishes its message. */
export function tracedRun(
  source: DatabaseSource,
  query: Query,
  { transaction }: { transaction: boolean },
  work: () => readonly Row[] | Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  const message = { ...source, sql: query.sql, ...describe([query]), statements: 1, transaction, rows: 0 }
  return traced(statements, message, work, (rows) => {
    message.rows = rows.length
  })
}

/** Runs a batch, and publishes its message. */
export function tracedBatch(
  source: DatabaseSource,
  queries: readonly Query[],
  work: () => Promise<(readonly Row[])[]>,
): Promise<(readonly Row[])[]> {
  const sql = queries.map((query) => query.sql).join('; ')
  const message = { ...source, sql, ...describe(queries), statements: queries.length, transaction: false, rows: 0 }
  return traced(statements, message, work, (results) => {
    message.rows = results.reduce((sum, rows) => sum + rows.length, 0)
  })
}

/** Returns what the first query that writes does to which table, else the first query. */
function describe(queries: readonly Query[]): { operation: string; table: string | undefined } {
  const query = queries.find(({ writes }) => writes) ?? queries[0]
  const sql = query?.sql ?? ''
  for (const [operation, pattern] of PATTERNS) {
    const found = pattern.exec(sql)
    if (found) return { operation, table: found[1] }
  }
  return { operation: /\w+/.exec(sql)?.[0].toUpperCase() ?? '', table: undefined }
}

/** In this order: an upsert is an INSERT that has an UPDATE, and each of them may have a SELECT. */
const PATTERNS: readonly (readonly [operation: string, pattern: RegExp])[] = [
  ['INSERT', /\binsert into "?(\w+)/i],
  ['UPDATE', /\bupdate "(\w+)/i],
  ['DELETE', /\bdelete from "?(\w+)/i],
  ['SELECT', /\bselect\b[\s\S]*?\bfrom "?(\w+)/i],
]
