import * as z from 'zod/mini'
import { bytesBackendSchema } from '../blobs/bytes/backend.ts'
import { openBlobs } from '../blobs/open.ts'
import { cacheLimits, openCacheAside, openCacheStore } from '../cache/open.ts'
import { StorageRowCache } from '../cache/row-cache.ts'
import { cacheStoreSchema, isShared } from '../cache/store.ts'
import { UserCache } from '../cache/user-cache.ts'
import { type LoadOptions, loadStorageConfig } from '../config/load.ts'
import { resolveConfig, resolveValidConfig } from '../config/resolve.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { maskSecrets } from '../config/secrets.ts'
import type { StorageConfig, StorageConfigFile } from '../config/types.ts'
import { DatabaseClock } from '../database/clock.ts'
import type { Db } from '../database/db.ts'
import { openDatabase } from '../database/open.ts'
import type { Problem } from '../errors.ts'
import { consoleLogger, type DetailsFirstLogger, type Logger, messageFirst, warnOnce } from '../logger.ts'
import { Maintenance } from '../maintenance/scheduler.ts'
import { type Observer, observed, observedCall } from '../observability/observed.ts'
import type { RepositoryContext } from '../repositories/context.ts'
import { embeddingSchema } from '../repositories/embeddings/model.ts'
import { STORAGE, USER_CACHE } from '../repositories/observables.ts'
import { rule } from '../validation/fast-path.ts'
import { invalidInput, millisSchema, parseInput } from '../validation/input.ts'
import { backupStorage, exportStorage } from './archive.ts'
import { type Closable, closeLayers, closeOpened } from './closing.ts'
import { diagnose } from './diagnosis.ts'
import {
  embeddingStats,
  embedPending,
  enablePgvector,
  maintainEmbeddings,
  openEmbedder,
  removeEmbeddings,
} from './embeddings.ts'
import { eraseOwner } from './erase.ts'
import { databaseStats, healthOf } from './health.ts'
import { rememberLayers } from './layers.ts'
import { countOpened } from './open-twice.ts'
import type { StorageOptions } from './options.ts'
import { Retention } from './retention/retention.ts'
import { openRoot, refusedRoot } from './root.ts'
import { openScope } from './scope.ts'
import { maintainSearch, openSearch, rebuildSearch, searchStats } from './search.ts'
import { checkSecured, isSecured } from './secured.ts'
import { slowCalls } from './slow-calls.ts'
import { Turns } from './turns.ts'
import type { Storage } from './types.ts'

const isLogger = (value: unknown) =>
  ['info', 'warn', 'error'].every((level) => typeof Reflect.get(Object(value), level) === 'function')

const isFunction = (value: unknown) => typeof value === 'function'

const booleanSchema = rule<boolean>((value) => typeof value === 'boolean', 'must be true or false')
const optionsSchema = z.strictObject({
  baseDir: z.optional(rule<string>((value) => typeof value === 'string', 'must be a string')),
  migrate: z.optional(booleanSchema),
  logger: z.optional(rule<Logger | DetailsFirstLogger>(isLogger, 'must have the methods info, warn and error')),
  maintenance: z.optional(booleanSchema),
  bytes: z.optional(bytesBackendSchema),
  cacheStore: z.optional(cacheStoreSchema),
  embedding: z.optional(embeddingSchema),
  now: z.optional(rule<() => Date>(isFunction, 'must be a function')),
  closeTimeoutMillis: z.optional(millisSchema),
  slowTransactionMillis: z.optional(millisSchema),
  slowOperationMillis: z.optional(millisSchema),
  adoptBlobStore: z.optional(booleanSchema),
  operator: z.optional(booleanSchema),
})

const LOST_RECORDS =
  'The records of blobs are in an in-memory database, and their bytes outlive them: configure sqlite or postgres'
const LOST_MEMORIES_DETAILS = { component: 'storage', code: 'MEMORIES_IN_MEMORY' } as const
const LOST_MEMORIES = 'Memories in an in-memory database are lost when the process ends: configure sqlite or postgres'

/**
 * Opens the storage that a configuration describes: `{ storage: { ... } }`, or the content of `storage`. Without a
 * configuration everything is in memory. If opening fails, nothing stays open.
 *
 * @throws {CONFIG_INVALID} when the configuration is not valid; the error names every problem
 * @throws {DRIVER_MISSING} when the package of the configured database or cache is not installed
 * @throws {CONNECTION_FAILED} when a database, Redis or directory cannot be used as configured
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not read the tables, or not migrate
 * @throws {MIGRATION_PENDING} when `migrate` is false and the schema is not up to date
 * @throws {MIGRATION_FAILED} when a migration failed; all migrations are rolled back
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has migrated the database
 * @throws {SCHEMA_DIVERGED} when the database has other migrations than this version of the package
 * @throws {BLOB_STORE_MISMATCH} when the blob store belongs to another database
 * @throws {INVALID_STATE} when row-level security is configured and does not hold for this user, or is enabled and not configured
 * @throws {INVALID_INPUT} when an option is not valid, or contradicts the configuration
 *
 * @example
 * ```ts
 * import { openStorage } from 'holdfast'
 * await using agent = await openStorage({ database: { type: 'sqlite', path: './data/agent.db' } })
 * await agent.kv.set('greeting', 'Hello')
 * ```
 */
export async function openStorage(
  config?: StorageConfig | StorageConfigFile,
  options: StorageOptions = {},
): Promise<Storage> {
  const given: StorageOptions = parseInput(optionsSchema, options, 'options')
  return open(resolveConfig(config, { baseDir: given.baseDir }), given)
}

async function open(resolved: ResolvedConfig, options: StorageOptions): Promise<Storage> {
  const {
    migrate = true,
    maintenance: periodic = true,
    closeTimeoutMillis = 30_000,
    slowTransactionMillis = 10_000,
    slowOperationMillis,
  } = options
  const logger = messageFirst(options.logger ?? consoleLogger)
  checkBackends(resolved, options)
  const layers = await openLayers(resolved, { ...options, migrate, logger, closeTimeoutMillis })
  const { database, cacheStore, cacheAside, notices, blobs, now, confirmedNow, clock, embedder } = layers
  if (blobs.bytes.type !== 'in-memory' && options.bytes && resolved.database.type === 'in-memory') {
    logger.warn(LOST_RECORDS, { component: 'storage', code: 'BLOB_RECORDS_IN_MEMORY' })
  }

  const { search } = resolved.database
  /** Aborted by the beginning of a close. */
  const closing = new AbortController()
  const rowCache = new StorageRowCache(cacheAside, database, { isShared: isShared(cacheStore), notices })
  const observer: Observer = { source: database.source, slow: slowCalls(slowOperationMillis, logger) }
  const valuesOf = (owner?: string) => {
    const check = () => database.checkOpen()
    const limits = cacheLimits(cacheStore, resolved.cache)
    return new UserCache(cacheStore, { ...limits, ...(owner !== undefined && { owner }), check })
  }
  const cacheObserver = { ...observer, source: { database: cacheStore.type } }
  const openUserCache = (owner?: string) => observed(valuesOf(owner), USER_CACHE, cacheObserver)
  const call = <T>(method: string, work: () => Promise<T>) => observedCall(observer, STORAGE, method, work)
  const context: RepositoryContext = {
    now,
    confirmedNow,
    cache: rowCache,
    closing: closing.signal,
    observer,
    onMemoryCreated:
      resolved.database.type === 'in-memory' ? warnOnce(logger, LOST_MEMORIES, LOST_MEMORIES_DETAILS) : () => {},
    embedding: embedder,
    offload: blobs.offload,
  }
  const scopeLayers = {
    database,
    rowCache,
    blobs,
    context,
    logger,
    slowTransactionMillis,
    turns: new Turns(),
    openUserCache,
  }
  const root = openRoot(scopeLayers)
  const checkFile = database.driver.checkFile?.bind(database.driver)
  const retention = new Retention({ database, rowCache, now, confirmedNow }, resolved.retention)
  const maintenance = new Maintenance(
    [
      { name: 'expired-sessions', run: () => root.sessions.sweepExpired() },
      { name: 'expired-keys', run: () => root.kv.sweepExpired() },
      ...blobs.steps,
      ...(search ? [{ name: 'search-index', run: () => maintainSearch(database, closing.signal) }] : []),
      ...(embedder ? [{ name: 'embeddings', run: () => maintainEmbeddings(database, embedder, closing.signal) }] : []),
      ...(checkFile ? [{ name: 'database-file', run: () => checkFile().then(() => 0) }] : []),
      ...(clock ? [{ name: 'clock', run: () => clock.synchronize().then(() => 0) }] : []),
      ...retention.steps, // may take half a minute
    ],
    logger,
  )
  if (periodic && !isReadonly(resolved)) {
    maintenance.start()
    void embedder?.walk(0) // what a process that has died left behind
  }

  const uncount = countOpened(resolved, logger)
  const stats = async () => {
    const databaseCounts = await databaseStats(database)
    const embeddings = await embeddingStats(database, embedder, databaseCounts.rows)
    return {
      cache: { ...cacheStore.stats(), ...cacheAside.stats() },
      database: databaseCounts,
      blobs: await blobs.stats(),
      ...(search && { search: await searchStats(database, databaseCounts.rows) }),
      ...(embeddings && { embeddings }),
    }
  }
  // A store of the program's own may lack the method.
  const clearCache = async (owner: string) => void (await (cacheStore.clear && valuesOf(owner).clear()))
  let masked: ResolvedConfig | undefined
  const close = async () => {
    database.checkOutside() // before anything is stopped
    uncount()
    retention.stop()
    closing.abort()
    await closeLayers({
      database,
      blobs,
      logger,
      stopBackground: () => Promise.all([embedder?.close(), maintenance.stop(), notices?.close()]),
      cacheStore: options.cacheStore ? undefined : cacheStore,
      backends: ownBackends(options),
      timeoutMillis: closeTimeoutMillis,
    })
  }
  const wholeLayers = { database, blobs: blobs.rows, rowCache, now, closing: closing.signal }
  const isRefused = isSecured(resolved.database) && !options.operator
  const storage: Storage = {
    ...(isRefused ? refusedRoot(scopeLayers) : root),
    get config() {
      masked ??= maskSecrets(resolved)
      return masked
    },
    cache: openUserCache(),
    scope: (options) => openScope(scopeLayers, options),
    erase: (owner, eraseOptions = {}) =>
      call('erase', async () => eraseOwner({ database, blobs, rowCache, clearCache, now }, owner, eraseOptions)),
    prune: (pruneOptions = {}) => call('prune', async () => retention.prune(pruneOptions)),
    diagnose: (diagnoseOptions = {}) =>
      call('diagnose', async () => diagnose({ config: resolved, database, cacheStore, blobs, stats }, diagnoseOptions)),
    health: () => healthOf({ config: resolved, database, cacheStore, blobs }),
    stats: () => call('stats', stats),
    rebuildSearch: (rebuildOptions = {}) => call('rebuildSearch', async () => rebuildSearch(database, rebuildOptions)),
    embedPending: (embedOptions = {}) =>
      call('embedPending', async () => embedPending(database, embedder, embedOptions)),
    enablePgvector: (pgvectorOptions = {}) =>
      call('enablePgvector', async () => enablePgvector(database, embedder, pgvectorOptions)),
    removeEmbeddings: (removalOptions) =>
      call('removeEmbeddings', async () => removeEmbeddings(database, removalOptions)),
    export: (directory, exportOptions = {}) =>
      call('export', async () => exportStorage(wholeLayers, directory, exportOptions)),
    backup: (file, backupOptions = {}) =>
      call('backup', async () => backupStorage(wholeLayers, file, backupOptions, schemaOf(resolved))),
    maintain: () => maintenance.run(),
    close,
    [Symbol.asyncDispose]: close,
  }
  rememberLayers(storage, wholeLayers)
  return storage
}

/**
 * Opens the storage that the `storage:` section of a YAML or JSON file describes. Relative paths in the file start from
 * its directory. Otherwise like `openStorage`.
 *
 * @throws {CONFIG_INVALID} when the file cannot be read or its section is not valid; the error names every problem
 * @throws {CONFIG_ENV_MISSING} when the file names environment variables that are not set
 * @throws {INVALID_INPUT} when the path or an option is not valid
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs'
 * import { openStorageFromFile } from 'holdfast'
 * writeFileSync('agent.yml', 'storage: { database: { type: sqlite, path: ./data/agent.db } }')
 * await using agent = await openStorageFromFile('agent.yml')
 * ```
 */
export async function openStorageFromFile(path: string, options: StorageOptions & LoadOptions = {}): Promise<Storage> {
  // Only that `options` is an object is checked here: loadStorageConfig checks `env`, optionsSchema everything else.
  const { env, ...rest } = parseInput(z.looseObject({}), options, 'options') as typeof options
  const config = await loadStorageConfig(path, { env })
  const given: StorageOptions = parseInput(optionsSchema, rest, 'options')
  return open(resolveValidConfig(config), given) // loadStorageConfig has validated it
}

/**
 * Checks that a backend of the program's own does not replace one that the configuration names.
 *
 * @throws {INVALID_INPUT} when both are given
 */
function checkBackends({ cache, blobStore }: ResolvedConfig, { bytes, cacheStore }: StorageOptions): void {
  const problems: Problem[] = []
  const contradiction = (field: string, type: string) =>
    `contradicts ${field}.type "${type}" of the configuration: leave ${field} out, or set its type to "in-memory" and keep only its limits`
  if (bytes && blobStore.type !== 'in-memory') {
    problems.push({ path: 'options.bytes', message: contradiction('blobStore', blobStore.type) })
  }
  if (cacheStore && cache.type !== 'in-memory') {
    problems.push({ path: 'options.cacheStore', message: contradiction('cache', cache.type) })
  }
  if (cacheStore && isShared(cacheStore) && cache.type === 'in-memory' && cache.invalidation !== undefined) {
    const message = `is shared by all instances, which cache.options.invalidation "${cache.invalidation}" would not help: leave one of the two out`
    problems.push({ path: 'options.cacheStore', message })
  }
  if (problems.length > 0) throw invalidInput(problems)
}

/** Opens the layers from the database up. If one of them cannot be opened, closes those that were. */
async function openLayers(
  config: ResolvedConfig,
  options: Omit<StorageOptions, 'logger'> & { migrate: boolean; logger: Logger; closeTimeoutMillis: number },
) {
  const { migrate, logger, now: given, bytes, adoptBlobStore: adopt } = options
  const opened: Closable[] = ownBackends(options)
  const open = async <T extends Closable>(opening: Promise<T>): Promise<T> => {
    const layer = await opening
    opened.push(layer)
    return layer
  }
  try {
    const database = await open(openDatabase(config.database, { migrate, vectors: options.embedding !== undefined }))
    if (isSecured(config.database) && !options.operator) await checkSecured(database)
    await openSearch(database)
    const clock = given ? undefined : await DatabaseClock.open(database, logger)
    const now = ownDates(given) ?? clock?.now ?? (() => new Date())
    const millis = () => now().getTime()
    const cacheStore = options.cacheStore ?? (await open(openCacheStore(config.cache, { logger, now: millis })))
    const confirmedNow = async (db?: Db) => (clock ? clock.confirmedNow(db) : now())
    const blobs = await open(openBlobs({ database, config, now, confirmedNow, bytes, adopt, logger }))
    const cache = await openCacheAside(cacheStore, config, database, logger, millis)
    const embedder = await openEmbedder(database, options.embedding, { logger, now })
    return { database, cacheStore, ...cache, blobs, now, confirmedNow, clock, embedder }
  } catch (error) {
    await closeOpened(opened.reverse(), options.closeTimeoutMillis)
    throw error
  }
}

/** Returns the clock with Dates of this realm: the layers below recognise no others. */
function ownDates(now: (() => Date) | undefined): (() => Date) | undefined {
  return now && (() => new Date(now()))
}

/** Returns those backends of the program's own that can be closed. */
function ownBackends({ cacheStore, bytes }: Pick<StorageOptions, 'cacheStore' | 'bytes'>): Closable[] {
  return [cacheStore, bytes].filter((backend): backend is NonNullable<typeof backend> & Closable => !!backend?.close)
}

function schemaOf({ database }: ResolvedConfig): string | undefined {
  return database.type === 'postgres' ? database.schema : undefined
}

function isReadonly({ database }: ResolvedConfig): boolean {
  return database.type === 'sqlite' && database.readonly
}
