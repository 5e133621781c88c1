import { sql } from 'drizzle-orm'
import type { Db, Dialect } from './db.ts'
import { compiledBy } from './orm.ts'
import type { CompiledQuery, Query, Row } from './query.ts'

/** A statement with its arguments, for `batch`. */
export interface Call<R> {
  query(db: Db): Query
  decode(db: Db, row: Row): R
}

/** A query compiled once a dialect, to be run any number of times on any handle. */
export interface Statement<Args, R> {
  all(db: Db, args: Args): Promise<R[]>
  first(db: Db, args: Args): Promise<R | undefined>
  with(args: Args): Call<R>
}

/** What a query is built with. */
export type Builder = Pick<Db, 'dialect' | 'orm' | 'tables'>

/** What drizzle's builders are at their end, seen from here. */
export interface Built<R> extends PromiseLike<R[]> {
  prepare(name: string): unknown
}

/**
 * Compiles a query at its first use: building one with drizzle costs 65 to 130 us, more than SQLite needs to answer it.
 * `arg.name` stands for the value given later under that name and is typed as that value; in the builder it may only be
 * passed on, not looked into. JSON columns take their argument through `values` or `set`, which know the column.
 */
export function statement<Args extends object, R>(build: (db: Builder, arg: Args) => Built<R>): Statement<Args, R> {
  const compiled: Partial<Record<Dialect, CompiledQuery>> = {}
  const compile = (db: Db): CompiledQuery => {
    const query = compiled[db.dialect] ?? compiledBy(build(db, placeholders<Args>()).prepare(''))
    compiled[db.dialect] = query
    return query
  }
  const queryOf = (query: CompiledQuery, args: Args): Query => ({
    sql: query.sql,
    writes: query.writes,
    params: query.encode(args as Record<string, unknown>), // an object, or an array, whose keys are the placeholders' names
  })
  // The builder's type says what its rows decode to.
  const decode = (query: CompiledQuery, row: Row) => query.decode(row) as R

  return {
    async all(db, args) {
      const query = compile(db)
      const rows = await db.run(queryOf(query, args))
      return rows.map((row) => decode(query, row))
    },
    async first(db, args) {
      const query = compile(db)
      const [row] = await db.run(queryOf(query, args))
      return row === undefined ? undefined : decode(query, row)
    },
    with: (args) => ({
      query: (db) => queryOf(compile(db), args),
      decode: (db, row) => decode(compile(db), row),
    }),
  }
}

type Results<Calls> = { -readonly [K in keyof Calls]: Calls[K] extends Call<infer R> ? R[] : never }

/** Runs calls as one atomic batch, in one round trip on PostgreSQL; the rows of each, in their order. */
export async function batch<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  calls: Calls,
): Promise<Results<Calls>> {
  const results = await db.batch(calls.map((call) => call.query(db)))
  // Each call's own decoder ran on its own rows, in order.
  return results.map((rows, i) => rows.map((row) => calls[i]?.decode(db, row))) as Results<Calls>
}

function placeholders<Args>(prefix = ''): Args {
  // Typed as the values they stand for; see `statement`.
  return new Proxy({}, { get: (_, name) => sql.placeholder(prefix + String(name)) }) as Args
}

/** How many rows a compiled statement takes; any number is made up of these. */
const WIDTHS = [64, 8, 1] as const

/** Statements over any number of rows, of which only a few widths are compiled (and prepared by the server). */
export interface RowsStatement<Args, R> {
  /** The calls that together take all rows, in order. */
  with(rows: readonly Args[]): Call<R>[]
}

/** As `statement`, for a builder that takes a list: a multi-row insert, an IN. */
export function rowsStatement<Args extends object, R>(
  build: (db: Builder, rows: Args[]) => Built<R>,
): RowsStatement<Args, R> {
  const widths = WIDTHS.map((width) => ({
    width,
    statement: statement<readonly Args[], R>((db) =>
      build(
        db,
        Array.from({ length: width }, (_, i) => placeholders<Args>(`${i}.`)),
      ),
    ),
  }))
  return {
    with(rows) {
      const calls: Call<R>[] = []
      let start = 0
      for (const { width, statement } of widths) {
        for (; rows.length - start >= width; start += width) {
          calls.push(statement.with(rows.slice(start, start + width)))
        }
      }
      return calls
    },
  }
}
