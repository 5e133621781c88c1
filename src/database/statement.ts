import { sql } from 'drizzle-orm'
import type { Db, Dialect } from './db.ts'
import { compiledBy } from './orm.ts'
import { type CompiledQuery, decodeAll, OWNER, type Query, type Row } from './query.ts'

/** A statement with its arguments, for `batch`. */
export interface Call<R> {
  query(db: Db): Query
  decode(db: Db, row: Row): R
}

/** A query that is compiled once per dialect and runs on any handle. */
export interface Statement<Args, R> {
  all(db: Db, args: Args): Promise<R[]>
  first(db: Db, args: Args): Promise<R | undefined>
  /** Binds the arguments, for `batch`. */
  with(args: Args): Call<R>
}

/** The part of a handle that builds queries. In a statement, `owner` is a placeholder if the handle has an owner. */
export type Builder = Pick<Db, 'dialect' | 'kit' | 'orm' | 'tables' | 'owner'>

/** A drizzle query that is complete. */
export interface Built<R> extends PromiseLike<R[]> {
  prepare(name: string): unknown
}

/**
 * Makes a statement that is compiled on first use, once for handles with an owner, once for those without, and once for
 * batches that decide on it: building a query with drizzle costs 65 to 130 us, more than SQLite takes to answer. In `build`,
 * `arg.name` is a placeholder for the later argument of that name. The placeholder has the argument's type, so it may be
 * passed to drizzle but not inspected. A JSON column takes its argument through `values` or `set`, which know the column.
 */
export function statement<Args extends object, R>(build: (db: Builder, arg: Args) => Built<R>): Statement<Args, R> {
  const unowned: Partial<Record<Dialect, CompiledQuery>> = {}
  const owned: Partial<Record<Dialect, CompiledQuery>> = {}
  const decided: Partial<Record<Dialect, CompiledQuery>> = {}
  const compile = (db: Db): CompiledQuery => {
    const compiled = db.isDecided ? decided : db.owner === undefined ? unowned : owned
    let query = compiled[db.dialect]
    if (query === undefined) {
      query = compiledBy(build(builderOf(db), placeholders<Args>()).prepare(''))
      compiled[db.dialect] = query
    }
    return query
  }
  const queryOf = (query: CompiledQuery, db: Db, args: Args): Query => ({
    sql: query.sql,
    writes: query.writes,
    params: query.encode(args as Record<string, unknown>, db.owner), // an object or array whose keys are the placeholders' names
  })
  // The cast holds because the builder's type says what its rows decode to.
  const decode = (query: CompiledQuery, row: Row) => query.decode(row) as R

  return {
    async all(db, args) {
      const query = compile(db)
      const rows = await db.run(queryOf(query, db, args))
      return decodeAll(rows, (row) => decode(query, row))
    },
    async first(db, args) {
      const query = compile(db)
      const [row] = await db.run(queryOf(query, db, args))
      return row === undefined ? undefined : decode(query, row)
    },
    with: (args) => ({
      query: (db) => queryOf(compile(db), db, args),
      decode: (db, row) => decode(compile(db), row),
    }),
  }
}

/** The rows of each call. */
export type Results<Calls> = { -readonly [K in keyof Calls]: Calls[K] extends Call<infer R> ? R[] : never }

/** Runs calls as one atomic batch, in one round trip on PostgreSQL. Returns the rows of each call, in the order of the calls. */
export async function batch<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  calls: Calls,
): Promise<Results<Calls>> {
  const results = await db.batch(calls.map((call) => call.query(db)))
  // The cast holds because each call decodes its own rows.
  return calls.map((call, i) => decodeAll(results[i] ?? [], (row) => call.decode(db, row))) as Results<Calls>
}

/** The setting of a transaction on PostgreSQL in which the owner is that it has decided on. */
export const DECIDED_OWNER = sql.raw(`'holdfast.decided_owner'`)

/** Returns the part of a handle that builds queries, with a placeholder for its owner. */
function builderOf({ dialect, kit, orm, tables, owner, isDecided }: Db): Builder {
  const standsFor = isDecided ? sql`current_setting(${DECIDED_OWNER})` : sql.placeholder(OWNER)
  const hasOwner = isDecided || owner !== undefined // NOBODY, the empty id, is an owner as well
  // Typed as the owner; see `statement`.
  return { dialect, kit, orm, tables, owner: hasOwner ? (standsFor as unknown as string) : undefined }
}

/** Makes an object whose every property is the placeholder of that name. */
function placeholders<Args>(prefix = ''): Args {
  // Typed as the arguments; see `statement`.
  return new Proxy({}, { get: (_, name) => sql.placeholder(prefix + String(name)) }) as Args
}

/** How many rows one compiled statement takes. Any number of rows is a sum of these. */
const WIDTHS = [64, 8, 1] as const

/** Statements for any number of rows. Only a few widths are compiled, and prepared by the server. */
export interface RowsStatement<Args, R> {
  /** Returns the calls that together take all rows, in the order of the rows. */
  with(rows: readonly Args[]): Call<R>[]
}

/** Makes a statement whose builder takes a list of arguments, such as a multi-row insert or an IN. See `statement`. */
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
