import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResolvedBlobStore, ResolvedDatabase } from '../config/resolve.ts'
import { alongside } from '../database/companion.ts'
import { Database } from '../database/database.ts'
import type { Db } from '../database/db.ts'
import { openDatabase } from '../database/open.ts'
import { StorageError } from '../errors.ts'
import type { MaintenanceStep } from '../maintenance.ts'
import { onOneInstance } from '../maintenance-lease.ts'
import { type BlobContext, Blobs } from './blobs.ts'
import type { BytesBackend } from './bytes.ts'
import { collectContent, collectExpired } from './collect.ts'
import { openLedger } from './ledger.ts'
import type { StepHook } from './local.ts'
import type { BlobStore } from './store.ts'
import { STALE_MILLIS } from './verify-steps.ts'

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

/** Opens the blob store and finds the database for its records. Errors: CONNECTION_FAILED, DISK_FULL, READ_ONLY. */
export async function openBlobs({ database: main, config, now, onStep, onFileStep }: Options): Promise<BlobLayer> {
  const { maxBlobSize, maxTotalSize } = config.blobStore
  const cleanupAfterDays = config.blobStore.type === 'local' ? config.blobStore.cleanupAfterDays : undefined
  const bytes = await openBytes(config.blobStore, onFileStep)
  const store: BlobStore = { bytes, maxBlobSize, maxTotalSize, cleanupAfterDays, now, onStep }
  const own = await ownDatabase(config)
  // A handle apart from the main one: what a call has begun it may also end while the storage is being closed.
  const db = own ?? new Database(main.driver)
  try {
    await openLedger(db)
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'READ_ONLY')) throw error
  }
  const root: BlobContext = { db, store, during: (work) => main.during(work) }
  return {
    blobs: new Blobs(root),
    bytes,
    steps: stepsOf(root),
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
  if (config.type === 'in-memory') return new (await import('./memory.ts')).MemoryBytes()
  return (await import('./local.ts')).LocalBytes.open({ storePath: config.storePath, onStep })
}

/** Records live as long as their bytes: where the main database lives longer, or shorter, they have their own. */
async function ownDatabase({ database, blobStore }: Options['config']): Promise<Database | undefined> {
  if ((database.type === 'in-memory') === (blobStore.type === 'in-memory')) return undefined
  if (blobStore.type === 'in-memory') return openDatabase({ type: 'in-memory' }, { migrate: true })
  const file = join(blobStore.storePath, 'records.db')
  await (await open(file, 'a', 0o600)).close() // SQLite would let everybody read it
  const settings = { synchronous: 'full', readonly: false, busyTimeoutMillis: 5000 } as const
  return openDatabase({ type: 'sqlite', file, ...settings }, { migrate: true })
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
        const result = await (apart ? alongside(context.db, part) : part(tx))
        for (const hash of transaction.stored) outer?.stored.add(hash)
        return result
      } catch (error) {
        for (const hash of transaction.stored) transaction.loose.add(hash)
        throw error
      }
    },
  }
}

function stepsOf({ db, store, during }: BlobContext): MaintenanceStep[] {
  const step = (name: string, work: () => Promise<number>): MaintenanceStep => ({
    name,
    run: () => during(async () => (await onOneInstance(db, name, store.now(), work)) ?? 0),
  })
  const blobs = new Blobs({ db, store, during: (work) => work() })
  return [
    step('unused-blobs', async () => (await blobs.cleanup()).removed),
    step('unneeded-bytes', () => collectExpired(db, store)),
    step('staged-bytes', () => store.bytes.sweepStaged(new Date(store.now().getTime() - STALE_MILLIS))),
  ]
}
