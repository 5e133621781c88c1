import type { ResolvedBlobStore, ResolvedDatabase } from '../config/resolve.ts'
import { Database } from '../database/database.ts'
import type { Db } from '../database/db.ts'
import { joinTransaction } from '../database/joined-transaction.ts'
import { onOneInstance } from '../maintenance/lease.ts'
import type { MaintenanceStep } from '../maintenance/scheduler.ts'
import { type BlobContext, type BlobStats, Blobs } from './blobs.ts'
import type { BytesBackend } from './bytes/backend.ts'
import type { StepHook } from './bytes/local.ts'
import { MemoryBytes } from './bytes/memory.ts'
import { collectContent, collectExpired } from './protocol/collect.ts'
import { openRecordsDatabase } from './protocol/records-database.ts'
import type { BlobStore } from './protocol/store.ts'
import { STALE_MILLIS } from './protocol/verify-steps.ts'

/** The blobs of a transaction; `nested` gives those of a savepoint in it. */
export interface BlobPart {
  readonly blobs: Blobs
  nested<T>(tx: Db, body: (part: BlobPart) => Promise<T>): Promise<T>
}

/** An open blob store, as the storage wires it. */
export interface BlobLayer {
  readonly blobs: Blobs
  readonly bytes: BytesBackend
  readonly steps: readonly MaintenanceStep[]
  /** Those of the blobs, without opening anything for them. */
  stats(): Promise<BlobStats>
  /** Runs a transaction of the main database; `join` gives it its blobs, and what it leaves is looked at after its end. */
  transaction<T>(run: (join: BlobPart['nested']) => Promise<T>): Promise<T>
  /** Closes what is its own. The main database has been closed before: nothing is under way. */
  close(): Promise<void>
}

interface Options {
  /** The main database, and how it was configured. */
  database: Database
  config: { database: ResolvedDatabase; blobStore: ResolvedBlobStore }
  now: () => Date
  /** For tests: called before each step. */
  onStep?: BlobStore['onStep']
  onFileStep?: StepHook
}

const NOTHING = { count: 0, contents: 0, bytes: 0 }

/** Opens the blob store and finds the database for its records. Errors: CONNECTION_FAILED, DISK_FULL, READ_ONLY. */
export async function openBlobs({ database: main, config, now, onStep, onFileStep }: Options): Promise<BlobLayer> {
  const { maxBlobSize, maxTotalSize } = config.blobStore
  const cleanupAfterDays = config.blobStore.type === 'local' ? config.blobStore.cleanupAfterDays : undefined
  const bytes = await openBytes(config.blobStore, onFileStep)
  const store: BlobStore = { bytes, maxBlobSize, maxTotalSize, cleanupAfterDays, now, onStep }
  const own = await openRecordsDatabase(config.database, config.blobStore)
  // A handle apart from the main one: what a call has begun it may also end while the storage is being closed.
  const db = own?.db ?? new Database(main.driver)
  const root: BlobContext = { db, store, during: (work) => main.during(work) }
  const blobs = new Blobs(root)
  const unused = () => own?.unused ?? false
  return {
    blobs,
    bytes,
    steps: stepsOf(root, unused),
    stats: () => (unused() ? root.during(async () => ({ ...NOTHING, maxTotalSize })) : blobs.stats()),
    async transaction(run) {
      const transaction = { stored: new Set<string>(), loose: new Set<string>() }
      const join: BlobPart['nested'] = (tx, body) =>
        partOf({ ...root, transaction }, own !== undefined).nested(tx, body)
      try {
        return await run(join)
      } catch (error) {
        for (const hash of transaction.stored) transaction.loose.add(hash)
        throw error
      } finally {
        // What fails here is done by maintenance, or by verify.
        for (const hash of transaction.loose) await collectContent(db, store, hash).catch(() => {})
      }
    },
    close: async () => own?.close(),
  }
}

async function openBytes(config: ResolvedBlobStore, onStep?: StepHook): Promise<BytesBackend> {
  if (config.type === 'in-memory') return new MemoryBytes()
  return (await import('./bytes/local.ts')).LocalBytes.open({ storePath: config.storePath, onStep })
}

/** `apart` says that the records are in a database of their own, which takes part in the transaction where it is used. */
function partOf(context: BlobContext, apart: boolean): BlobPart {
  const { transaction: outer } = context
  return {
    blobs: new Blobs(context),
    async nested(tx, body) {
      const transaction = { stored: new Set<string>(), loose: outer?.loose ?? new Set<string>() }
      const part = (db: Db) => body(partOf({ ...context, db, transaction, during: (work) => work() }, apart))
      try {
        const result = await (apart ? joinTransaction(context.db, part) : part(tx))
        for (const hash of transaction.stored) outer?.stored.add(hash)
        return result
      } catch (error) {
        for (const hash of transaction.stored) transaction.loose.add(hash)
        throw error
      }
    },
  }
}

function stepsOf({ db, store, during }: BlobContext, unused: () => boolean): MaintenanceStep[] {
  const step = (name: string, work: () => Promise<number>): MaintenanceStep => ({
    name,
    run: () => during(async () => (unused() ? 0 : ((await onOneInstance(db, name, store.now(), work)) ?? 0))),
  })
  const blobs = new Blobs({ db, store, during: (work) => work() })
  return [
    step('unused-blobs', async () => (await blobs.cleanup()).removed),
    step('unneeded-bytes', () => collectExpired(db, store)),
    step('staged-bytes', () => store.bytes.sweepStaged(new Date(store.now().getTime() - STALE_MILLIS))),
  ]
}
