import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Finding } from '../../diagnosis/findings.ts'
import { StorageError } from '../../errors.ts'
import { storageClosed } from '../closed.ts'
import type {
  BackupSteps,
  BeginOptions,
  Driver,
  DriverTransaction,
  Execute,
  MigrationJournal,
  Snapshot,
} from '../db.ts'
import type { Query, Row } from '../query.ts'
import { backUp, fileExists } from './backup.ts'
import type { SqliteConnection } from './connection.ts'
import { diagnoseSqlite } from './diagnosis.ts'
import { overwriteTerms } from './erased-terms.ts'
import { sqliteError } from './errors.ts'
import { EventLoopTurns } from './event-loop-turns.ts'
import type { FileIdentity } from './file-identity.ts'
import { sqliteJournal } from './journal.ts'
import { sqliteKit } from './kit.ts'
import type { WriteQueue } from './write-queue.ts'

/**
 * Overwrites what is deleted in pages that are written anyway. Otherwise moved rows leave copies in the free space of pages,
 * which a later erasure does not find.
 */
export const OVERWRITE_IN_PAGES = 'PRAGMA secure_delete = FAST;'

/** How long to wait for readers before the log is left as it is. */
const EMPTY_LOG_MILLIS = 2000

/** Returns what messages of channels.ts and counters say of a connection. */
export function sourceOf({ file }: SqliteConnection) {
  return { database: 'sqlite', namespace: file === undefined ? ':memory:' : basename(file) }
}

export interface SqliteConnections {
  openReader?: () => SqliteConnection
  /** Opens a connection on the file, or on a copy of what is in memory. */
  openCopy: () => Promise<SqliteConnection>
  identity?: FileIdentity
}

/** A SQLite database: one connection that takes the writes in turn, and one that reads beside an open transaction. */
export class SqliteDriver implements Driver {
  readonly dialect = 'sqlite'
  readonly kit = sqliteKit
  readonly namespace: string
  readonly journal: MigrationJournal
  readonly #writer: SqliteConnection
  readonly #queue: WriteQueue
  readonly #turns = new EventLoopTurns()
  readonly #openReader: SqliteConnections['openReader']
  readonly #openCopy: SqliteConnections['openCopy']
  readonly #identity: FileIdentity | undefined
  /** Set while the path does not lead to the open file. */
  #moved: StorageError | undefined
  #reader: SqliteConnection | undefined
  /** How many calls of `overwriting` are under way. */
  #overwriters = 0
  #closed = false

  /** `:memory:` has one connection and so no reader: its reads wait for open transactions. */
  constructor(writer: SqliteConnection, queue: WriteQueue, { openReader, openCopy, identity }: SqliteConnections) {
    this.namespace = sourceOf(writer).namespace
    this.#writer = writer
    this.#queue = queue
    this.#openReader = openReader
    this.#openCopy = openCopy
    this.#identity = identity
    const read: Execute = async (sql) => this.run({ sql, params: [], writes: false })
    this.journal = sqliteJournal(writer, queue, read)
  }

  run(query: Query): Row[] | Promise<Row[]> {
    if (query.writes) {
      this.#check()
      return this.#queue.write(() => this.#writer.run(query), { single: true })
    }
    const read = () => this.#read((connection) => connection.run(query))
    return this.#turns.isDue() ? this.#turns.next().then(read) : read()
  }

  /** Runs a read on a connection that shows only committed data: not on the writer while a transaction holds it. */
  #read<T>(work: (connection: SqliteConnection) => T): T | Promise<T> {
    this.#check()
    const openReader = this.#openReader
    if (openReader === undefined && !this.#queue.isFree) {
      return this.#queue.write(() => work(this.#writer), { single: true })
    }
    return this.#queue.whenUnlocked(() => {
      // Checked at each attempt: a transaction may have started since the previous one.
      if (openReader === undefined || this.#queue.isFree) return work(this.#writer)
      this.#reader ??= openReader()
      return work(this.#reader)
    })
  }

  async batch(queries: readonly Query[]): Promise<Row[][]> {
    if (queries.some(({ writes }) => writes)) {
      this.#check()
      return this.#queue.write(() => queries.map((query) => this.#writer.run(query)), { single: false })
    }
    if (this.#turns.isDue()) await this.#turns.next()
    return this.#read((connection) => connection.snapshot(queries))
  }

  async begin({ check }: BeginOptions = {}): Promise<DriverTransaction> {
    this.#check()
    const since = performance.now()
    const release = await this.#queue.acquire()
    try {
      check?.()
      await this.#queue.begin(since)
    } catch (error) {
      release()
      throw error
    }
    return this.#transaction(release)
  }

  async snapshot(): Promise<Snapshot> {
    const connection = await this.#openSnapshot()
    const run = async (query: Query) => {
      try {
        return connection.run(query)
      } catch (error) {
        throw sqliteError(error, this.#writer.file)
      }
    }
    return {
      run,
      batch: (queries) => Promise.all(queries.map(run)),
      close: async () => connection.close(),
    }
  }

  async backup(file: string, steps: BackupSteps): Promise<number> {
    if (existsSync(file)) throw fileExists(file)
    const connection = await this.#openSnapshot()
    try {
      return await backUp(connection, file, steps)
    } finally {
      connection.close()
    }
  }

  /** Opens a connection whose read transaction sees the database as it is now. */
  async #openSnapshot(): Promise<SqliteConnection> {
    this.#check()
    const connection = await this.#openCopy()
    try {
      connection.control('BEGIN')
      // BEGIN alone takes no snapshot.
      await this.#queue.whenUnlocked(() => connection.control('SELECT 1 FROM sqlite_master'))
      return connection
    } catch (error) {
      connection.close()
      throw sqliteError(error, this.#writer.file)
    }
  }

  /** Refuses a call that close() did not wait for, and any call on a file that nobody will find again. */
  #check(): void {
    if (this.#closed) throw storageClosed()
    if (this.#moved !== undefined) throw this.#moved
  }

  async checkFile(): Promise<void> {
    this.#moved = await this.#identity?.moved()
    this.#check()
  }

  #transaction(release: () => void): DriverTransaction {
    const writer = this.#writer
    let isEnded = false
    const finish = async (sql: string) => {
      isEnded = true
      try {
        writer.control(sql)
      } catch (error) {
        if (writer.inTransaction) writer.control('ROLLBACK')
        throw sqliteError(error, writer.file)
      } finally {
        release()
      }
    }
    const rollback = async () => {
      if (writer.inTransaction) return finish('ROLLBACK')
      isEnded = true
      release()
    }
    return {
      async run(query) {
        // A body that goes on after its deadline would write into the next transaction, which has the same writer.
        if (isEnded)
          throw new StorageError('TRANSACTION_MISUSE', 'This transaction has ended, with all of its savepoints')
        // A full disk ends the transaction inside SQLite. Each further statement would commit by itself.
        if (!writer.inTransaction) throw new StorageError('DATABASE_FAILED', 'SQLite has ended this transaction')
        try {
          return writer.run(query)
        } catch (error) {
          throw sqliteError(error, writer.file)
        }
      },
      commit: () => finish('COMMIT'),
      rollback,
      abandon: rollback, // no statement is ever under way: they are synchronous
    }
  }

  dataVersion(): number {
    // On the writer, whose own commits do not change the number.
    return this.#writer.dataVersion()
  }

  async overwriting(body: () => Promise<void>): Promise<boolean> {
    this.#overwriters += 1
    await this.#onWriter((writer) => writer.exec('PRAGMA secure_delete = ON'))
    try {
      await body()
      await overwriteTerms((work) => this.#onWriter((writer) => this.#queue.whenUnlocked(() => work(writer))))
    } finally {
      this.#overwriters -= 1
      if (this.#overwriters === 0) await this.#onWriter((writer) => writer.exec(OVERWRITE_IN_PAGES))
    }
    return this.#emptyLog()
  }

  /** Moves the log into the file and empties it. Tries again while others read or write, for two seconds. */
  async #emptyLog(): Promise<boolean> {
    for (const until = performance.now() + EMPTY_LOG_MILLIS; ; await sleep(50)) {
      const isEmpty = await this.#onWriter((writer) => writer.emptyLog())
      if (isEmpty || performance.now() > until) return isEmpty
    }
  }

  moveLog(): Promise<void> {
    const move = 'PRAGMA wal_checkpoint(PASSIVE)'
    return this.#onWriter((writer) => this.#queue.whenUnlocked(() => writer.exec(move)))
  }

  /** Runs `work` on the writer while no transaction holds it. */
  async #onWriter<T>(work: (writer: SqliteConnection) => T | Promise<T>): Promise<T> {
    this.#check()
    const release = await this.#queue.acquire()
    try {
      return await work(this.#writer)
    } finally {
      release()
    }
  }

  async size(): Promise<number> {
    const sql = 'select page_count * page_size from pragma_page_count(), pragma_page_size()'
    const [row] = await this.run({ sql, params: [], writes: false })
    return Number(row?.[0])
  }

  async server(): Promise<string> {
    const [row] = await this.journal.read('select sqlite_version()')
    return `SQLite ${row?.[0]}`
  }

  diagnose(): Promise<Finding[]> {
    return diagnoseSqlite(this.journal.read, this.#writer.file)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#reader?.close()
    this.#writer.close()
  }
}
