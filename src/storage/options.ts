import type { BytesBackend } from '../blobs/bytes/backend.ts'
import type { CacheStore } from '../cache/store.ts'
import type { DetailsFirstLogger, Logger } from '../logger.ts'
import type { EmbeddingModel } from '../repositories/embeddings/types.ts'

/** What the program decides when it opens a storage, beside the configuration. */
export interface StorageOptions {
  /** The directory that relative paths of the configuration start from. Default: the working directory. */
  baseDir?: string | undefined
  /**
   * Whether to apply pending migrations. If false, opening fails with MIGRATION_PENDING and creates no file. Default
   * true.
   */
  migrate?: boolean | undefined
  /**
   * Receives log messages: `console`, a logger of pino or winston, or your own. Default: warnings and errors go to the
   * console.
   */
  logger?: Logger | DetailsFirstLogger | undefined
  /** Whether to run the maintenance steps once a minute. Default true. */
  maintenance?: boolean | undefined
  /**
   * Keeps the bytes of blobs in place of the configured blob store: an implementation of your own. The configuration
   * must not name a directory; `maxBlobSize` and `maxTotalSize` still come from it. Closed with the storage, or when a
   * layer cannot be opened. Default: the configured blob store.
   */
  bytes?: BytesBackend | undefined
  /**
   * Keeps the entries of the cache in place of the configured store: an implementation of your own. The configuration
   * must not name a Redis; `maxValueBytes` and `ttlSeconds` still come from it. Closed with the storage, or when a layer
   * cannot be opened. Default: the configured cache.
   */
  cacheStore?: CacheStore | undefined
  /**
   * The model that embeds messages and memories, so that `recall` finds them by their meaning. Texts are embedded in the
   * background, after the write. Default: nothing is embedded. See docs/recall.md.
   */
  embedding?: EmbeddingModel | undefined
  /** The clock, for tests. Default: the system's clock, corrected by its distance to that of PostgreSQL. */
  now?: (() => Date) | undefined
  /**
   * Whether the database takes the blob store that it finds, although the store belongs to another database: for
   * the first open after a restore. The other database is refused from its next start on. Default false: then opening
   * fails with BLOB_STORE_MISMATCH.
   */
  adoptBlobStore?: boolean | undefined
  /**
   * Whether this process is an operator's, such as an administration tool, for a database with
   * `options.rowLevelSecurity`. If true, the storage itself sees what everybody has. Default false: then only scopes, and calls
   * that concern the whole storage, such as `erase` and `maintain`, may be used. Without row-level security it changes nothing.
   */
  operator?: boolean | undefined
  /** How long `close()` waits for calls in flight before it rolls back their transactions. Milliseconds. Default 30,000. */
  closeTimeoutMillis?: number | undefined
  /** How long a transaction may be open before a warning is logged. Milliseconds. Default 10,000. */
  slowTransactionMillis?: number | undefined
  /**
   * How long a call may take before a warning is logged: its name, its tables and how long it took, and no value. Milliseconds.
   * Default: no call is logged, since each would be timed, and what is slow differs from a local file to a distant server.
   */
  slowOperationMillis?: number | undefined
}

export interface TransactionOptions {
  /**
   * After this time the transaction is rolled back, and the call rejects with TIMEOUT. The wait for a connection, or for
   * SQLite's one writer, counts. If the process is frozen, PostgreSQL rolls back a second later. Milliseconds. Default: no limit.
   */
  timeoutMillis?: number | undefined
  /**
   * What a transaction sees of others on PostgreSQL. With 'serializable' the result is that of transactions that run one after
   * the other, as far as they are all serializable: if PostgreSQL finds that it would not be, `body` runs again, up to 20 times
   * in all and within `timeoutMillis`. On SQLite and in memory transactions always run one after the other, and `body` runs
   * once. Default 'read committed'.
   */
  isolation?: 'read committed' | 'serializable' | undefined
}

/** Options of `storage.diagnose()`. */
export interface DiagnoseOptions {
  /** Counts wrong counters of sessions and lists again. Default false: changes nothing. */
  repair?: boolean | undefined
  /** Ends the call between two steps. Then it rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each check, and after each content of the blob store, with how many things the check has looked at. */
  onProgress?: ((progress: { check: string; checked: number }) => void) | undefined
}

/** Options of `storage.rebuildSearch()`. */
export interface RebuildSearchOptions {
  /** Ends the call between two transactions. Then the call rejects with ABORTED, and maintenance goes on with what is left. */
  signal?: AbortSignal | undefined
  /** Called after each transaction with the number of texts that the call has indexed. */
  onProgress?: ((progress: { indexed: number }) => void) | undefined
}

/** Options of `storage.embedPending()` and `storage.enablePgvector()`. */
export interface EmbedPendingOptions {
  /** Ends the call. Then the call rejects with ABORTED, and the storage goes on in the background. */
  signal?: AbortSignal | undefined
  /** Called after each batch with the number of texts that were embedded since the call. */
  onProgress?: ((progress: { embedded: number }) => void) | undefined
}

/** Options of `storage.removeEmbeddings()`. */
export interface RemoveEmbeddingsOptions {
  /** The model with its dimensions, as `storage.stats()` names it, such as `text-embedding-3-small/1536`. */
  model: string
}

export interface ScopeOptions {
  /** Whose data the scope works with: 1 to 255 bytes, such as the id of a user or of a customer. */
  ownerId: string
}

/** Options of `storage.erase()`. */
export interface EraseOptions {
  /** Counts, and removes nothing. Default false. */
  dryRun?: boolean | undefined
  /** Ends the erasure between two transactions. Then the call rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each transaction with the number of rows that it has removed from a table. */
  onProgress?: ((removed: { table: string; rows: number }) => void) | undefined
}
