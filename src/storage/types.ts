import type { BackupOptions, BackupReport, ExportOptions, ExportReport } from '../archive/types.ts'
import type { Blobs } from '../blobs/blobs.ts'
import type { UserCache } from '../cache/user-cache.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Finding } from '../diagnosis/findings.ts'
import type { MaintenanceReport } from '../maintenance/scheduler.ts'
import type { Repositories } from '../repositories/repositories.ts'
import type {
  DiagnoseOptions,
  EmbedPendingOptions,
  EraseOptions,
  RebuildSearchOptions,
  RemoveEmbeddingsOptions,
  ScopeOptions,
  TransactionOptions,
} from './options.ts'
import type { Erasure, StorageHealth, StorageStats } from './reports.ts'
import type { PruneOptions, Pruning } from './retention/types.ts'
import type { StorageTransaction } from './storage-transaction.ts'

/** The blobs of a scope. What concerns the store of all owners is on the storage alone. */
export type ScopedBlobs = Omit<Blobs, 'cleanup' | 'verify'>

/**
 * The storage as one owner sees it. What others own is absent: it is not listed, counted, changed or removed, and takes no
 * id, key or name away. What a scope creates is its owner's.
 */
export interface StorageScope extends Repositories {
  readonly ownerId: string
  /** A cache for the program's own values of this owner. */
  readonly cache: UserCache
  /** The owner's files and other bytes. `maxTotalSize` counts those of all owners. */
  readonly blobs: ScopedBlobs
  /**
   * Like `transaction` of the storage, over the rows and blobs of this owner.
   *
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or `timeoutMillis` has passed; nothing was done
   * @throws {CONNECTION_LOST} when the connection was lost; it is unknown whether a commit under way was done
   * @throws {DATABASE_FAILED} when the database rejected a statement
   * @throws {INVALID_INPUT} when `body` is not a function
   *
   * @example
   * ```ts
   * const ada = storage.scope({ ownerId: 'ada' })
   * await ada.transaction((tx) => tx.kv.set('theme', 'dark'))
   * ```
   */
  transaction<T>(body: (tx: StorageTransaction) => Promise<T>, options?: TransactionOptions): Promise<T>
}

/** An open storage: every repository, and the calls that concern all of them. */
export interface Storage extends Repositories, AsyncDisposable {
  /** The configuration in use: every default is filled in, and secrets are masked. */
  readonly config: ResolvedConfig
  /**
   * A cache for the program's own values. Shared between processes if the cache is Redis. Entries may be evicted at any
   * time.
   */
  readonly cache: UserCache
  /** Files and other bytes. */
  readonly blobs: Blobs
  /**
   * Returns the storage as one owner sees it: the same repositories, blobs, cache and transactions, over what this owner
   * has. Costs nothing and needs no closing, so a server makes one for each request. The storage itself sees what everybody
   * has, and what it writes without an owner is nobody's.
   *
   * @throws {INVALID_INPUT} when `ownerId` is not valid
   *
   * @example
   * ```ts
   * const ada = storage.scope({ ownerId: 'ada' })
   * await ada.memories.create({ content: 'Prefers trains to planes.' })
   * console.log((await storage.scope({ ownerId: 'bob' }).memories.list()).items) // []
   * ```
   */
  scope(options: ScopeOptions): StorageScope
  /**
   * Removes everything that an owner has: rows of every table, blobs, cached rows. Returns how much there was when the call
   * began. Removes up to 1000 rows in a transaction; others can work meanwhile. On SQLite what is removed is overwritten in
   * the file. Backups are out of reach. Safe to repeat: a call that was interrupted goes on with what is left.
   *
   * @throws {INVALID_STATE} when the owner still has rows after ten rounds, since somebody goes on writing them
   * @throws {ABORTED} when `signal` is aborted; what was removed until then stays removed
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid, or `ownerId` is empty
   *
   * @example
   * ```ts
   * await storage.scope({ ownerId: 'ada' }).kv.set('theme', 'dark')
   * console.log(await storage.erase({ ownerId: 'ada' })) // { rows: { kv: 1 }, total: 1, logEmptied: true }
   * ```
   */
  erase(owner: ScopeOptions, options?: EraseOptions): Promise<Erasure>
  /**
   * Removes what is older than `retention` in the configuration says, now instead of in the hourly run of maintenance.
   * Returns how much that was. Removes up to 500 rows in a transaction, and pauses after each; others can work meanwhile.
   * What a pending approval or a running execution needs stays. Without `retention` nothing is removed. Safe to repeat.
   *
   * @throws {INVALID_STATE} when another instance applies the retention at the moment; `retryable`
   * @throws {ABORTED} when `signal` is aborted; what was removed until then stays removed
   * @throws {CLOSED} when the storage is closed, or is being closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * import { openStorage } from 'holdfast'
   * await using agent = await openStorage({ retention: { events: '7d', sessions: { idle: '90d' } } })
   * console.log(await agent.prune({ dryRun: true })) // { rows: {}, total: 0 }
   * ```
   */
  prune(options?: PruneOptions): Promise<Pruning>
  /**
   * Runs `body` in one transaction over the repositories and blobs of `tx`, and rolls everything back if `body` throws.
   * Inside `body` use only `tx`: the storage itself would wait for its own transaction, and rejects with
   * TRANSACTION_MISUSE instead. PostgreSQL runs transactions concurrently (READ COMMITTED): another transaction may
   * change a row between a read and a write of this one, unless `isolation` is 'serializable'. Not safe to repeat, unless
   * everything in `body` is.
   *
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or `timeoutMillis` has passed; nothing was done
   * @throws {CONNECTION_LOST} when the connection was lost; it is unknown whether a commit under way was done
   * @throws {DATABASE_FAILED} when the database rejected a statement; with `retryable`, PostgreSQL rolled this transaction
   *   back in favour of another, a serializable one 20 times, and nothing was done
   * @throws {INVALID_INPUT} when `body` is not a function, or an option is not valid
   *
   * @example
   * ```ts
   * const messages = await storage.transaction(async (tx) => {
   *   const { id } = await tx.sessions.create({ title: 'Trip to Oslo' })
   *   return tx.messages.append(id, { role: 'user', content: 'Find me a train.' })
   * })
   * ```
   */
  transaction<T>(body: (tx: StorageTransaction) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * Asks each layer once, and returns whether it answers and how long that took. Waits 5 seconds per layer at most.
   * Never rejects.
   *
   * @example
   * ```ts
   * const { ok, database } = await storage.health()
   * if (!ok) console.error(database.error)
   * ```
   */
  health(): Promise<StorageHealth>
  /**
   * Looks for what is wrong, or will be: layers that do not answer, a damaged file, missing privileges, wrong counters, lost or
   * left over bytes of blobs, wrong clocks, poolers, a full disk or cache. Returns a finding for each check.
   * Reads the whole database and every blob, so its cost grows with the data. A check that fails with an error is a finding
   * with the `code` of the error. If then the database does not answer, the finding names the checks that were not begun. Safe
   * to repeat.
   *
   * @throws {ABORTED} when `signal` is aborted
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * const findings = await storage.diagnose()
   * console.log(findings.filter(({ result }) => result === 'fail')) // []
   * ```
   */
  diagnose(options?: DiagnoseOptions): Promise<Finding[]>
  /**
   * Counts the rows of each table, the bytes and the cache's hits. Reads every table, so its cost grows with the data.
   *
   * @throws {CLOSED} when the storage is closed
   * @throws {TIMEOUT} when no connection became free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   *
   * @example
   * ```ts
   * const { database } = await storage.stats()
   * console.log(database.rows.sessions) // 0
   * ```
   */
  stats(): Promise<StorageStats>
  /**
   * Indexes all messages and memories anew for the search. Returns the number of texts indexed. Until the call ends, results
   * are incomplete, and say so. Indexes up to 500 texts in a transaction; others can work meanwhile. On PostgreSQL it first waits
   * for the transactions that are writing texts. Maintenance does the same by itself after the search was switched on. Safe to
   * repeat.
   *
   * @throws {INVALID_STATE} when the search is switched off
   * @throws {ABORTED} when `signal` is aborted
   * @throws {CLOSED} when the storage is closed
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * console.log(await storage.rebuildSearch()) // 1
   * ```
   */
  rebuildSearch(options?: RebuildSearchOptions): Promise<number>
  /**
   * Embeds all messages and memories that are still to be embedded, also those of other processes, and waits until nothing is
   * left. Returns the number of texts embedded meanwhile. The storage does the same by itself in the background, soon after each
   * write: call this before a recall that must not miss anything, and at the end of a short program. Safe to repeat.
   *
   * @throws {INVALID_STATE} when the storage was opened without a model
   * @throws {EMBEDDING_FAILED} when the model fails, or refuses some of the texts; the others are embedded
   * @throws {ABORTED} when `signal` is aborted; the storage goes on in the background
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * import { openStorage } from 'holdfast'
   * import { wordEmbedding } from 'holdfast/testing'
   * await using agent = await openStorage({}, { embedding: wordEmbedding() })
   * await agent.memories.create({ content: 'Ada likes window seats' })
   * await agent.embedPending()
   * console.log((await agent.stats()).embeddings?.pending) // 0
   * ```
   */
  embedPending(options?: EmbedPendingOptions): Promise<number>
  /**
   * Has PostgreSQL compare vectors itself: creates the extension pgvector, and a column beside the stored vectors, and fills
   * the column. Returns the number of vectors converted. Without pgvector vectors are compared in this process, at most 20,000.
   * Instances that are open already take part after the next round of their maintenance. Safe to repeat.
   *
   * @throws {INVALID_STATE} when the database is SQLite, or the server does not have pgvector
   * @throws {PRIVILEGE_MISSING} when the user may not create the extension, or does not own the tables
   * @throws {ABORTED} when `signal` is aborted
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * await storage.enablePgvector().catch(({ code }) => console.log(code)) // INVALID_STATE: it is SQLite
   * ```
   */
  enablePgvector(options?: Pick<EmbedPendingOptions, 'signal'>): Promise<number>
  /**
   * Removes all vectors of one model, such as the one before the current one. Returns the number removed. Removes up to 1000
   * in a transaction. A model that is in use begins anew. Safe to repeat.
   *
   * @throws {CLOSED} when the storage is closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * const { embeddings } = await storage.stats()
   * for (const model of Object.keys(embeddings?.models ?? {})) {
   *   if (model !== embeddings?.model) await storage.removeEmbeddings({ model })
   * }
   * ```
   */
  removeEmbeddings(options: RemoveEmbeddingsOptions): Promise<number>
  /**
   * Copies the SQLite database, as it is at the beginning of the call, into a new file, which appears when the copy is whole and
   * has passed `quick_check`. Others can work meanwhile: 200 pages are copied at a time. The bytes of blobs are not in it, see
   * docs/backup.md. Not safe to repeat: each call needs a file of its own.
   *
   * @param file A file that does not exist, in a directory that does. A relative path starts from the working directory.
   * @throws {INVALID_STATE} when the database is PostgreSQL; the message has the command that backs it up
   * @throws {ALREADY_EXISTS} when the file exists
   * @throws {INVALID_INPUT} when the directory of the file does not exist, or an option is not valid
   * @throws {ABORTED} when `signal` is aborted; nothing is left of the copy
   * @throws {DATABASE_FAILED} when the copy is damaged, as then the database is
   * @throws {DISK_FULL} when the disk of the file is full
   * @throws {CLOSED} when the storage is closed, or is being closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when another process locks the file for too long
   *
   * @example
   * ```ts
   * const { bytes } = await storage.backup(`./backup-${Date.now()}.db`)
   * console.log(bytes > 0) // true
   * ```
   */
  backup(file: string, options?: BackupOptions): Promise<BackupReport>
  /**
   * Writes all rows and blobs, as they are at the beginning of the call, into a directory: a file of JSON lines for each table, a
   * file for each content, and at last `manifest.json` with counts and checksums. Others can work meanwhile. Without a
   * manifest the export is not finished. `importInto` reads it. Not safe to repeat: each call needs a directory of its own.
   *
   * @param directory A directory that is new or empty. A relative path starts from the working directory.
   * @throws {ALREADY_EXISTS} when the directory is not empty, or is a file
   * @throws {INVALID_INPUT} when an option is not valid
   * @throws {ABORTED} when `signal` is aborted
   * @throws {BLOB_NOT_FOUND} when the bytes of a blob are lost
   * @throws {BLOB_CORRUPTED} when the bytes of a blob are damaged
   * @throws {DISK_FULL} when the disk of the directory is full
   * @throws {CLOSED} when the storage is closed, or is being closed
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   * @throws {TIMEOUT} when no connection became free in time
   * @throws {CONNECTION_LOST} when the database cannot be reached
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * const { tables } = await storage.export(`./archive-${Date.now()}`)
   * console.log(tables) // { sessions: 1, messages: 1 }
   * ```
   */
  export(directory: string, options?: ExportOptions): Promise<ExportReport>
  /**
   * Runs the maintenance steps now, and returns a report for each step. A step that fails has its error in the report.
   * Never rejects. Safe to repeat.
   *
   * @example
   * ```ts
   * const reports = await storage.maintain()
   * console.log(reports[0]) // { step: 'expired-sessions', removed: 0, millis: 0.4 }
   * ```
   */
  maintain(): Promise<MaintenanceReport[]>
  /**
   * Refuses new calls (CLOSED), waits for the calls in flight, and closes every connection. After `closeTimeoutMillis`
   * it rolls back the transactions that have not ended, ends the puts that are still reading, which all reject with
   * CLOSED, and logs a warning. `await using` calls this at the end of the block. Safe to repeat.
   *
   * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
   *
   * @example
   * ```ts
   * await storage.close()
   * await storage.kv.get('theme').catch(({ code }) => console.log(code)) // CLOSED
   * ```
   */
  close(): Promise<void>
}
