import type { Query as DrizzleQuery } from 'drizzle-orm'
import type { Executor } from './db.ts'
import { type CompiledQuery, compileQuery, decodeAll, type SelectedField } from './query.ts'

// What the sessions of the two dialects share. Drizzle builds the SQL, and the executor runs the SQL, so that SQLite's write
// queue and PostgreSQL's batches serve every query.

/**
 * The property of a prepared query of ours that holds its compiled query. A loader that makes CommonJS of the package, such
 * as tsx, evaluates this module twice: for what is required, and for what is imported later, which is where the dialects are.
 */
export const COMPILED: unique symbol = Symbol.for('holdfast.compiled')

interface Prepared {
  readonly [COMPILED]: CompiledQuery
}

/** Returns the compiled query inside a builder's prepared query, which a session of ours has made. */
export function compiledBy(prepared: unknown): CompiledQuery {
  if (isOurs(prepared)) return prepared[COMPILED]
  throw new TypeError('A statement must be built with the orm that its builder is given')
}

function isOurs(prepared: unknown): prepared is Prepared {
  return typeof prepared === 'object' && prepared !== null && COMPILED in prepared
}

export type Metadata = { type: 'select' | 'update' | 'delete' | 'insert' } | undefined

export function compile(query: DrizzleQuery, fields: unknown, metadata: Metadata): CompiledQuery {
  // drizzle passes an ordered list of {path, field}, or undefined if the query returns nothing.
  return compileQuery(query, fields as SelectedField[] | undefined, metadata?.type !== 'select')
}

export async function execute(executor: Executor, compiled: CompiledQuery, args: Record<string, unknown> = {}) {
  const rows = await executor.run({
    sql: compiled.sql,
    writes: compiled.writes,
    params: compiled.encode(args, undefined),
  })
  return decodeAll(rows, compiled.decode)
}

export function transactionsAreOurs(): never {
  throw new TypeError("Use the database's transaction(), not drizzle's")
}
