import type BetterSqlite3 from 'better-sqlite3'
import type { Query, Row } from '../query.ts'
import { keepFromCollector } from './load.ts'

/** Maximum number of prepared statements of a connection: the fixed ones, and room for shapes that vary. */
const PREPARED_STATEMENTS = 500

/** One better-sqlite3 connection and its prepared statements. All methods are synchronous. */
export class SqliteConnection {
  readonly #db: BetterSqlite3.Database
  readonly #prepared = new Map<string, BetterSqlite3.Statement>()
  #dataVersion: BetterSqlite3.Statement | undefined

  /** `extend` adds functions to the connection. */
  constructor(db: BetterSqlite3.Database, extend?: (db: BetterSqlite3.Database) => void) {
    this.#db = db
    extend?.(db)
    keepFromCollector(this)
  }

  /** The absolute path of the file. Undefined for a database in memory. */
  get file(): string | undefined {
    return this.#db.memory ? undefined : this.#db.name
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  run({ sql, params }: Pick<Query, 'sql' | 'params'>): Row[] {
    const statement = this.#prepared.get(sql) ?? this.#prepare(sql)
    const values: unknown[] = []
    for (const param of params) values.push(driverValue(param))
    // all(), never get(): a RETURNING that is not read to its end keeps its transaction open, and the WAL grows.
    if (statement.reader) return statement.all(values) as Row[] // raw(true) makes rows arrays
    statement.run(values)
    return []
  }

  #prepare(sql: string): BetterSqlite3.Statement {
    const statement = this.#db.prepare(sql)
    if (statement.reader) statement.raw(true)
    // Evict in insertion order: tracking use (LRU) would cost every call more than an occasional re-prepare.
    if (this.#prepared.size >= PREPARED_STATEMENTS) {
      for (const [oldest, evicted] of this.#prepared) {
        this.#prepared.delete(oldest)
        keepFromCollector(evicted)
        break
      }
    }
    this.#prepared.set(sql, statement)
    return statement
  }

  /** Runs reads that all see the same state. */
  snapshot(queries: readonly Query[]): Row[][] {
    if (this.inTransaction) return queries.map((query) => this.run(query))
    this.control('BEGIN')
    try {
      return queries.map((query) => this.run(query))
    } finally {
      this.control('COMMIT')
    }
  }

  /** Runs a statement such as BEGIN or COMMIT. These are prepared too, as every write needs them. */
  control(sql: string): void {
    this.run({ sql, params: [] })
  }

  /** Runs SQL that must not be prepared: a PRAGMA may act while it is compiled, and then not when it is run again. */
  exec(sql: string): void {
    this.#db.exec(sql)
  }

  /** Returns a number that changes when another connection commits to the file. As short as possible: every cache hit asks. */
  dataVersion(): number {
    this.#dataVersion ??= this.#db.prepare('PRAGMA data_version').pluck()
    return this.#dataVersion.get() as number // a pragma of one integer
  }

  /** Moves the write-ahead log into the file and empties it. Returns false if another connection is using the log. */
  emptyLog(): boolean {
    const [{ busy = 1 } = {}] = this.#db.pragma('wal_checkpoint(TRUNCATE)') as { busy?: number }[] // one row of integers
    return busy === 0
  }

  /** Returns the database as bytes, which can be opened as another one. */
  serialize(): Buffer {
    return this.#db.serialize()
  }

  /** Copies the database into a file. `step` is told how many pages are done, and returns how many to copy next. */
  async backup(file: string, step: (done: number, total: number) => number): Promise<void> {
    const progress = ({ totalPages, remainingPages }: { totalPages: number; remainingPages: number }) =>
      step(totalPages - remainingPages, totalPages)
    await this.#db.backup(file, { progress })
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
