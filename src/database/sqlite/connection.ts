import type BetterSqlite3 from 'better-sqlite3'
import type { Query, Row } from '../query.ts'

/** How many prepared statements a connection keeps: those compiled once, and room for shapes that vary. */
const PREPARED_STATEMENTS = 500

/** One better-sqlite3 connection and its prepared statements. Everything here is synchronous. */
export class SqliteConnection {
  readonly #db: BetterSqlite3.Database
  readonly #prepared = new Map<string, BetterSqlite3.Statement>()
  #dataVersion: BetterSqlite3.Statement | undefined

  constructor(db: BetterSqlite3.Database) {
    this.#db = db
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  run({ sql, params }: Pick<Query, 'sql' | 'params'>): Row[] {
    const statement = this.#prepared.get(sql) ?? this.#prepare(sql)
    const values: unknown[] = []
    for (const param of params) values.push(driverValue(param))
    // all(), never get(): a RETURNING that is not read to its end holds its transaction open, and the WAL grows.
    if (statement.reader) return statement.all(values) as Row[] // raw(true) makes rows arrays
    statement.run(values)
    return []
  }

  #prepare(sql: string): BetterSqlite3.Statement {
    const statement = this.#db.prepare(sql)
    if (statement.reader) statement.raw(true)
    // The oldest goes. That may be one in use, but to keep them by use would cost every call more than to prepare again.
    if (this.#prepared.size >= PREPARED_STATEMENTS) {
      for (const oldest of this.#prepared.keys()) {
        this.#prepared.delete(oldest)
        break
      }
    }
    this.#prepared.set(sql, statement)
    return statement
  }

  /** Reads that all see the same state. */
  snapshot(queries: readonly Query[]): Row[][] {
    if (this.inTransaction) return queries.map((query) => this.run(query))
    this.control('BEGIN')
    try {
      return queries.map((query) => this.run(query))
    } finally {
      this.control('COMMIT')
    }
  }

  /** BEGIN, COMMIT and their like, prepared as well: they come with every write. */
  control(sql: string): void {
    this.run({ sql, params: [] })
  }

  /** What must not be prepared: a PRAGMA may do its work while it is compiled, and so not again. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Changes when another connection has committed to the file. Asked at every hit of a cache: by the shortest way. */
  dataVersion(): number {
    this.#dataVersion ??= this.#db.prepare('PRAGMA data_version').pluck()
    return this.#dataVersion.get() as number // a pragma of one integer
  }

  close(): void {
    this.#db.close()
  }
}

function driverValue(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.getTime()
  return value
}
