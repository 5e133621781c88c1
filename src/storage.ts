import * as z from 'zod'
import type { BlobStats, Blobs } from './blobs/blobs.ts'
import { openBlobs, type TransactionBlobs } from './blobs/open.ts'
import type { CacheAsideStats } from './cache/cache-aside.ts'
import { cacheLimits, openCacheAside, openCacheStore } from './cache/open.ts'
import { StorageRowCache } from './cache/row-cache.ts'
import type { CacheStoreStats } from './cache/store.ts'
import { UserCache } from './cache/user-cache.ts'
import { type LoadOptions, loadStorageConfig } from './config/load.ts'
import { type ResolvedConfig, resolveConfig } from './config/resolve.ts'
import type { StorageConfig } from './config/schema.ts'
import { maskSecrets } from './config/secrets.ts'
import type { Db } from './database/db.ts'
import { openDatabase } from './database/open.ts'
import { type DatabaseStats, databaseStats, type LayerHealth, probe } from './health.ts'
import { consoleLogger, type Logger } from './logger.ts'
import { Maintenance, type MaintenanceReport } from './maintenance/scheduler.ts'
import type { RepositoryContext } from './repositories/context.ts'
import { openRepositories, type Repositories } from './repositories/repositories.ts'
import { withFastCheck } from './validation/fast-path.ts'
import { checkFunction, parseInput } from './validation/input.ts'

export interface StorageOptions {
  /** What relative paths are relative to. Default: the working directory. */
  baseDir?: string | undefined
  /** Whether to apply pending migrations; false refuses to open (MIGRATION_PENDING) and creates no file. Default true. */
  migrate?: boolean | undefined
  /** Default: warnings and errors go to the console. */
  logger?: Logger | undefined
  /** Whether to run the periodic steps, once a minute. Default true. */
  maintenance?: boolean | undefined
  /** The clock; for tests. Default: the system's. */
  now?: (() => Date) | undefined
}

const isLogger = (value: unknown) =>
  ['info', 'warn', 'error'].every((level) => typeof Reflect.get(Object(value), level) === 'function')

const isFunction = (value: unknown) => typeof value === 'function'

const onOrOff = withFastCheck((value) => typeof value === 'boolean', z.boolean())
const optionsSchema = z.strictObject({
  baseDir: withFastCheck((value) => typeof value === 'string', z.string()).optional(),
  migrate: onOrOff.optional(),
  logger: withFastCheck(isLogger, z.custom<Logger>(isLogger, 'must have the methods info, warn and error')).optional(),
  maintenance: onOrOff.optional(),
  now: withFastCheck(isFunction, z.custom<() => Date>(isFunction, 'must be a function')).optional(),
})

/** What a transaction's callback is given: every repository and the blobs, bound to the transaction. */
export interface StorageTransaction extends Repositories {
  readonly blobs: Blobs
  /** A savepoint: what it throws undoes what it did, and nothing else if it is caught. */
  transaction<T>(body: (tx: StorageTransaction) => Promise<T>): Promise<T>
}

export interface StorageHealth {
  ok: boolean
  cache: LayerHealth
  database: LayerHealth
  blobStore: LayerHealth
}

export interface StorageStats {
  cache: CacheStoreStats & CacheAsideStats
  database: DatabaseStats
  blobs: BlobStats
}

/** An open storage: every repository, and what concerns all of them. */
export interface Storage extends Repositories, AsyncDisposable {
  /** What was configured, with every default in place and without secrets. */
  readonly config: ResolvedConfig
  /** The program's own values in the cache alone: shared where the cache is, and gone when it wants the room. */
  readonly cache: UserCache
  /** Files and other bytes. */
  readonly blobs: Blobs
  /**
   * Runs `body` in one transaction over all repositories and blobs of `tx`; what it throws rolls everything back. Within it use
   * `tx` alone: the storage itself is TRANSACTION_MISUSE there, because it would wait for its own transaction.
   * On PostgreSQL transactions run at once (READ COMMITTED): what one has read another may change before it writes.
   * Errors: TIMEOUT (no connection became free), CONNECTION_LOST (whether it was committed is unknown), DATABASE_FAILED with
   * `retryable` (it gave way to another in a deadlock; nothing was done).
   */
  transaction<T>(body: (tx: StorageTransaction) => Promise<T>): Promise<T>
  /** Whether each layer answers, and how fast. Never rejects. */
  health(): Promise<StorageHealth>
  /** Rows per table and bytes. It counts, so its cost grows with the data. */
  stats(): Promise<StorageStats>
  /** Runs the periodic steps now; a report per step. Never rejects. */
  maintain(): Promise<MaintenanceReport[]>
  /** Refuses new calls (CLOSED), waits for what is in flight, closes every connection. Safe to repeat. */
  close(): Promise<void>
}

/**
 * Opens the storage that a configuration describes: `{ storage: { ... } }` or its content; nothing is in memory.
 * Errors: CONFIG_INVALID, DRIVER_MISSING, CONNECTION_FAILED, MIGRATION_PENDING, MIGRATION_FAILED, SCHEMA_TOO_NEW,
 * SCHEMA_DIVERGED, INVALID_INPUT (the options). Where it fails nothing stays open.
 */
export async function openStorage(config?: StorageConfig, options: StorageOptions = {}): Promise<Storage> {
  const given = parseInput(optionsSchema, options, 'options')
  const {
    baseDir,
    migrate = true,
    logger = consoleLogger,
    maintenance: periodic = true,
    now = () => new Date(),
  } = given
  const resolved = resolveConfig(config, { baseDir })
  const { database, cache, rows, blobs } = await openLayers(resolved, { migrate, logger, now })
  const cachedRows = new StorageRowCache(rows, database, { isShared: resolved.cache.type === 'redis' })
  const context: RepositoryContext = {
    now,
    cache: cachedRows,
    ...(resolved.database.type === 'in-memory' && { willBeLost: warningOfLoss(logger) }),
  }
  const repositories = openRepositories(database, context)
  const maintenance = new Maintenance(
    [
      { name: 'expired-sessions', run: () => repositories.sessions.sweepExpired() },
      { name: 'expired-keys', run: () => repositories.kv.sweepExpired() },
      ...blobs.steps,
    ],
    logger,
  )
  const readonly = resolved.database.type === 'sqlite' && resolved.database.readonly
  if (periodic && !readonly) maintenance.start()

  let masked: ResolvedConfig | undefined
  const close = async () => {
    database.checkOutside() // before anything is stopped
    const stopped = maintenance.stop()
    await database.close()
    await stopped
    await Promise.all([blobs.close(), cache.close()])
  }
  return {
    ...repositories,
    get config() {
      masked ??= maskSecrets(resolved)
      return masked
    },
    cache: new UserCache(cache, { ...cacheLimits(resolved.cache), check: () => database.checkOpen() }),
    blobs: blobs.blobs,
    async transaction(body) {
      checkFunction(body, 'body')
      return cachedRows.transaction((inside) =>
        blobs.transaction((enter) =>
          database.transaction((tx) => {
            return enter(tx, (part) => body(transactionOf(tx, { ...context, cache: inside }, part)))
          }),
        ),
      )
    },
    async health() {
      const select = { sql: 'select 1', params: [], writes: false }
      const layers = {
        cache: await probe(resolved.cache.type, () => cache.ping()),
        database: await probe(resolved.database.type, async () => database.run(select)),
        blobStore: await probe(resolved.blobStore.type, () => blobs.bytes.ping()),
      }
      return { ok: Object.values(layers).every(({ ok }) => ok), ...layers }
    },
    async stats() {
      return {
        cache: { ...cache.stats(), ...rows.stats() },
        database: await databaseStats(database),
        blobs: await blobs.stats(),
      }
    },
    maintain: () => maintenance.run(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Where one of them cannot be opened, those that were are closed. */
async function openLayers(
  config: ResolvedConfig,
  { migrate, logger, now }: Required<Pick<StorageOptions, 'migrate' | 'logger' | 'now'>>,
) {
  const opened: { close(): Promise<void> }[] = []
  const open = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const layer = await opening
    opened.push(layer)
    return layer
  }
  const millis = () => now().getTime()
  try {
    const database = await open(openDatabase(config.database, { migrate }))
    const cache = await open(openCacheStore(config.cache, { logger, now: millis }))
    const blobs = await open(openBlobs({ database, config, now }))
    const rows = await openCacheAside(cache, config, database, logger, millis)
    return { database, cache, rows, blobs }
  } catch (error) {
    for (const layer of opened.reverse()) await layer.close()
    throw error
  }
}

/** As `openStorage`, with the `storage:` section of a YAML or JSON file; relative paths are relative to the file. */
export async function openStorageFromFile(path: string, options: StorageOptions & LoadOptions = {}): Promise<Storage> {
  const { env, ...rest } = parseInput(z.looseObject({}), options, 'options') as typeof options // each part is checked below
  return openStorage(await loadStorageConfig(path, { env }), rest)
}

/** Says it once. */
function warningOfLoss(logger: Logger): () => void {
  let warned = false
  return () => {
    if (warned) return
    warned = true
    logger.warn('Memories in an in-memory database are lost when the process ends: configure sqlite or postgres')
  }
}

function transactionOf(db: Db, context: RepositoryContext, part: TransactionBlobs): StorageTransaction {
  return {
    ...openRepositories(db, context),
    blobs: part.blobs,
    async transaction(body) {
      checkFunction(body, 'body')
      return db.transaction((tx) => part.savepoint(tx, (inside) => body(transactionOf(tx, context, inside))))
    },
  }
}
