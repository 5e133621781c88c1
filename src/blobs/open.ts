import { setTimeout as sleep } from 'node:timers/promises'
import type { ResolvedBlobStore, ResolvedDatabase } from '../config/resolved.ts'
import { configError } from '../config/validate.ts'
import type { Database } from '../database/database.ts'
import type { Db } from '../database/db.ts'
import { joinTransaction } from '../database/joined-transaction.ts'
import { type Logger, warnOnce } from '../logger.ts'
import { onOneInstance } from '../maintenance/lease.ts'
import type { MaintenanceStep } from '../maintenance/scheduler.ts'
import { countersOf } from '../observability/counters.ts'
import { Offload } from './attachments/offload.ts'
import { Blobs } from './blobs.ts'
import type { BytesBackend } from './bytes/backend.ts'
import { DatabaseBytes, type DatabaseStep } from './bytes/database/bytes.ts'
import { LocalBytes, type LocalStep } from './bytes/local.ts'
import { MemoryBytes } from './bytes/memory.ts'
import { transportOf } from './bytes/s3/exchange.ts'
import { openS3 } from './bytes/s3/open.ts'
import type { S3Step } from './bytes/s3/s3-bytes.ts'
import { localMarks, type StoreMarks } from './bytes/store-id.ts'
import { tracedBytes } from './bytes/traced.ts'
import type { BlobContext } from './context.ts'
import { cleanUp } from './protocol/cleanup.ts'
import { collectContent, collectEach, collectExpired, collectStray } from './protocol/collect.ts'
import { eraseBlobs } from './protocol/erase.ts'
import { quarantineSweep } from './protocol/quarantined.ts'
import { openRecordsDatabase, type RecordsDatabase } from './protocol/records-database.ts'
import { stopAll } from './protocol/staging.ts'
import { PUTS_AT_ONCE, PUTS_AT_ONCE_IN_TRANSACTION, StagingGate } from './protocol/staging-gate.ts'
import type { BlobStore, TransactionContents } from './protocol/store.ts'
import { straySweep } from './protocol/strays.ts'
import { STALE_MILLIS } from './protocol/verify-steps.ts'
import { checkOwnRecords, checkStoreIdentity, checkStoreInside } from './store-identity.ts'
import type { BlobStats } from './types.ts'

/** The blobs of a transaction. */
export interface TransactionBlobs {
  readonly blobs: Blobs
  /** Returns the blobs of one owner. */
  scoped(owner: string): Blobs
  /** Set if data in messages becomes blobs. */
  readonly offload: Offload | undefined
  /**
   * Runs `body` with the blobs of `tx`, which is the transaction or a savepoint in it: a handle without an owner, also in a
   * scope, whose blobs are `inside.scoped(owner)`.
   */
  savepoint<T>(tx: Db, body: (inside: TransactionBlobs) => Promise<T>): Promise<T>
}

/** Where records and contents are, for what reads or writes all of them. */
export interface BlobRows {
  readonly db: Db
  readonly store: BlobStore
  /** Set if the records are in a database of their own. */
  readonly own?: Pick<RecordsDatabase, 'unused' | 'open'> | undefined
}

/** An open blob store, as the storage wires it. */
export interface BlobLayer {
  readonly blobs: Blobs
  /** Returns the blobs of one owner. */
  scoped(owner: string): Blobs
  /** Set if data in messages becomes blobs. */
  readonly offload: Offload | undefined
  readonly bytes: BytesBackend
  readonly rows: BlobRows
  readonly steps: readonly MaintenanceStep[]
  /** Counts the blobs of an owner. Like `stats`, opens nothing. */
  count(owner: string): Promise<number>
  /** Removes up to `limit` blobs of an owner. Returns how many; if fewer, none is left. See `eraseBlobs`. */
  erase(owner: string, limit: number): Promise<number>
  /** Runs `body`, and overwrites what it deletes of records in a database of their own. See `Driver.overwriting`. */
  overwriting(body: () => Promise<void>): Promise<boolean>
  /** Returns the blob statistics. Does not open the records database, which is opened on first use. */
  stats(): Promise<BlobStats>
  /**
   * Runs a transaction of the main database. `enter` yields the transaction's blobs. Contents that nothing references
   * any more are collected after the transaction has ended.
   */
  transaction<T>(run: (enter: TransactionBlobs['savepoint']) => Promise<T>): Promise<T>
  /** Ends the puts that are still reading their source. They reject with CLOSED. */
  stopPuts(): void
  /**
   * Closes the bytes and the database of the records, if the blob layer opened them. Must run after the main database was
   * closed.
   */
  close(): Promise<void>
}

interface Options {
  /** The main database. */
  database: Database
  config: { database: ResolvedDatabase; blobStore: ResolvedBlobStore }
  now: () => Date
  /** Returns the time that the database has confirmed. Default: `now`. */
  confirmedNow?: BlobStore['confirmedNow']
  logger: Logger
  /** The program's own backend in place of the configured one. */
  bytes?: BytesBackend | undefined
  /** Runs before each step of the protocol, for tests. */
  onStep?: BlobStore['onStep']
  /** Runs before each step of the bytes, for tests. */
  onFileStep?: FileHook
  /** Makes the database take a store that belongs to another one. Default false. */
  adopt?: boolean | undefined
}

type FileHook = (step: LocalStep | S3Step | DatabaseStep) => void | Promise<void>

/** How long close() waits for puts that were stopped. */
const STOP_MILLIS = 1000

const EMPTY = { count: 0, contents: 0, bytes: 0 }

/**
 * Opens the blob store and the database for its records.
 *
 * @throws {CONNECTION_FAILED} when the directory or the bucket cannot be used.
 * @throws {CONFIG_INVALID} when the data of messages would be lost before the messages.
 * @throws {BLOB_STORE_MISMATCH} when the store is that of another database.
 * @throws {DISK_FULL} when the disk is full.
 * @throws {READ_ONLY} when the file system is read-only.
 */
export async function openBlobs(options: Options): Promise<BlobLayer> {
  const { database: main, config, now, onStep, onFileStep } = options
  const { maxBlobSize, maxTotalSize, offloadAboveBytes } = config.blobStore
  const { cleanupAfterDays } = config.blobStore.type === 'in-memory' ? {} : config.blobStore
  const { bytes: backend, ...place } = options.bytes ? { bytes: options.bytes } : await openBytes(options)
  if (offloadAboveBytes !== undefined && backend.type === 'in-memory' && config.database.type !== 'in-memory') {
    const message =
      'would leave messages in the database without their data, which is in memory; choose another blob store'
    throw configError([{ path: 'blobStore.offloadAboveBytes', message }], 'The storage configuration')
  }
  const traced = (found: BytesBackend) => tracedBytes(found, countersOf(main.source).blobBytes)
  const bytes = traced(backend)
  const recordsDatabase = await openRecords(options, bytes, place).catch(async (error: unknown) => {
    if (backend !== options.bytes) await backend.close?.()
    throw error
  })
  const store: BlobStore = {
    bytes,
    ...(backend instanceof DatabaseBytes && {
      bytesIn: (tx: Db) => traced(new DatabaseBytes(tx, { inTransaction: true, onStep: onFileStep })),
    }),
    // Not ungated: a search may take long, and ends when the storage is closed.
    texts: recordsDatabase ? [main, recordsDatabase.db] : [main],
    maxBlobSize,
    maxTotalSize,
    offloadAboveBytes,
    cleanupAfterDays: cleanupAfterDays === 'never' ? undefined : cleanupAfterDays,
    puts: new Set(),
    gate: new StagingGate({ puts: PUTS_AT_ONCE, maxBlobSize, maxTotalSize }),
    now,
    confirmedNow: options.confirmedNow ?? (async () => now()),
    onStep,
  }
  // Ungated: a call that was admitted before the storage is closed may still finish its work.
  const db = recordsDatabase?.db ?? main.ungated()
  const root: BlobContext = { db, store, whileOpen: (work) => main.whileOpen(work) }
  const blobs = new Blobs(root)
  const unused = () => recordsDatabase?.unused ?? false
  return {
    blobs,
    scoped: (owner) => new Blobs({ ...root, owner }),
    offload: offloadTo(root, { hasOwnDatabase: recordsDatabase !== undefined }),
    count: async (owner) => (unused() ? 0 : (await new Blobs({ ...root, owner }).stats()).count),
    overwriting: (body) => recordsDatabase?.overwriting?.(body) ?? body().then(() => true),
    erase: (owner, limit) => root.whileOpen(async () => (unused() ? 0 : eraseBlobs(db, store, owner, limit))),
    bytes,
    rows: { db, store, own: recordsDatabase },
    steps: maintenanceSteps(root, unused),
    stats: () => (unused() ? root.whileOpen(async () => ({ ...EMPTY, maxTotalSize })) : blobs.stats()),
    async transaction(run) {
      let giveUp: (error: unknown) => void = () => {}
      const givenUp = new Promise<never>((_, reject) => {
        giveUp = reject
      })
      givenUp.catch(() => {}) // nobody waits for it if the records are in the main database
      const transaction = transactionContents(store, { givenUp })
      const hasOwnDatabase = recordsDatabase !== undefined
      const { savepoint: enter } = transactionBlobs({ ...root, transaction }, { hasOwnDatabase })
      try {
        return await run(enter)
      } catch (error) {
        giveUp(error) // it may be a deadline, which the transaction of the records does not have
        transaction.strays.push(...transaction.written)
        throw error
      } finally {
        await collectEach(transaction.strays, (stray) => collectStray(db, store, stray))
        await collectEach(transaction.contentsToCollect, (hash) => collectContent(db, store, hash))
      }
    },
    stopPuts: () => stopAll(store.puts),
    async close() {
      // A put that was stopped in a transaction may still be removing what it has staged.
      const ended = Promise.all(Array.from(store.puts, (put) => put.ended))
      await Promise.race([ended, sleep(STOP_MILLIS, undefined, { ref: false })])
      await recordsDatabase?.close()
      if (backend !== options.bytes) await backend.close?.()
    },
  }
}

/** Where a configured store is. */
interface Place {
  readonly storePath?: string | undefined
  /** Undefined for a store that nobody else can use. */
  readonly marks?: StoreMarks | undefined
}

/** Opens the database of the records, unless it is the main database, and checks that it belongs to the store. */
async function openRecords(
  options: Options,
  bytes: BytesBackend,
  { storePath, marks }: Place,
): Promise<RecordsDatabase | undefined> {
  const { database: main, config, adopt = false } = options
  const holdsRecords = config.database.type === 'in-memory'
  if (storePath !== undefined && marks && holdsRecords && !adopt) await checkOwnRecords(storePath, marks, bytes)
  const records = await openRecordsDatabase(config.database, bytes, storePath)
  try {
    const db = records?.db ?? main
    if (marks) await checkStoreIdentity({ db, bytes, marks, storePath, holdsRecords, adopt })
    if (config.blobStore.type === 'database' && !options.bytes) await checkStoreInside(db, adopt)
    return records
  } catch (error) {
    await records?.close()
    throw error
  }
}

const LOST_BLOBS =
  'Blobs are in memory, and lost when the process ends, though the database stays: configure a blobStore of type local, database or s3'

async function openBytes({
  database: main,
  config: { database, blobStore: config },
  logger,
  onFileStep: onStep,
}: Options): Promise<Place & { bytes: BytesBackend }> {
  if (config.type === 'in-memory') {
    if (database.type === 'in-memory') return { bytes: new MemoryBytes() }
    return { bytes: new MemoryBytes(warnOnce(logger, LOST_BLOBS, { component: 'storage', code: 'BLOBS_IN_MEMORY' })) }
  }
  if (config.type === 's3') return openS3(config, await transportOf(config.endpoint), onStep)
  if (config.type === 'database') return { bytes: new DatabaseBytes(main.ungated(), { onStep }) }
  const { storePath } = config
  return { bytes: await LocalBytes.open({ storePath, onStep }), storePath, marks: localMarks(storePath) }
}

/** Returns the blobs of a transaction. With `hasOwnDatabase`, the database of the records joins it on first use. */
function transactionBlobs(context: BlobContext, { hasOwnDatabase }: { hasOwnDatabase: boolean }): TransactionBlobs {
  const { transaction: outer } = context
  return {
    blobs: new Blobs(context),
    scoped: (owner) => new Blobs({ ...context, owner }),
    offload: offloadTo(context, { hasOwnDatabase }),
    async savepoint(tx, body) {
      if (tx.owner !== undefined) throw new TypeError('The blobs of a transaction need its handle without an owner')
      // A gate of its own: the puts of the outer transaction wait for the end of the savepoint.
      const transaction = transactionContents(context.store, outer)
      const inside = (db: Db) => {
        const { store } = context
        const storeInside = store.bytesIn ? { ...store, bytes: store.bytesIn(db) } : store
        const inner = {
          ...context,
          db,
          store: storeInside,
          transaction,
          whileOpen: <W>(work: () => Promise<W>) => work(),
        }
        return body(transactionBlobs(inner, { hasOwnDatabase }))
      }
      try {
        const result = await (hasOwnDatabase ? joinTransaction(context.db, inside, outer?.givenUp) : inside(tx))
        outer?.written.push(...transaction.written)
        return result
      } catch (error) {
        transaction.strays.push(...transaction.written)
        throw error
      }
    },
  }
}

function offloadTo(context: BlobContext, { hasOwnDatabase }: { hasOwnDatabase: boolean }): Offload | undefined {
  const { offloadAboveBytes: aboveBytes } = context.store
  return aboveBytes === undefined ? undefined : new Offload(context, { aboveBytes, hasOwnDatabase })
}

function transactionContents(limits: BlobStore, outer: Partial<TransactionContents> = {}): TransactionContents {
  const { maxBlobSize, maxTotalSize } = limits
  return {
    written: [],
    strays: outer.strays ?? [],
    contentsToCollect: outer.contentsToCollect ?? new Set(),
    givenUp: outer.givenUp,
    gate: new StagingGate({ puts: PUTS_AT_ONCE_IN_TRANSACTION, maxBlobSize, maxTotalSize }),
  }
}

function maintenanceSteps({ db, store, whileOpen }: BlobContext, unused: () => boolean): MaintenanceStep[] {
  const step = (name: string, work: () => Promise<number>): MaintenanceStep => ({
    name,
    run: () =>
      whileOpen(async () => (unused() ? 0 : ((await onOneInstance(db, name, await store.confirmedNow(), work)) ?? 0))),
  })
  return [
    step('unused-blobs', async () => (await cleanUp(db, store, {})).removed),
    step('unneeded-bytes', () => collectExpired(db, store)),
    step('stray-bytes', straySweep(db, store)),
    step('quarantined-bytes', quarantineSweep(db, store)),
    step('staged-bytes', () => store.bytes.sweepStaged(new Date(store.now().getTime() - STALE_MILLIS))),
  ]
}
