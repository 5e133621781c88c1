import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from '../database/db.ts'
import { readProperty, writeProperty } from '../database/identity.ts'
import { StorageError } from '../errors.ts'
import type { BytesBackend } from './bytes/backend.ts'
import { createStoreId, readStoreId } from './bytes/store-id.ts'
import { readUsage } from './protocol/usage.ts'

/** The name under which a database keeps the id of its blob store. */
const PROPERTY = 'blob-store'
const ATTEMPTS = 3
const PAUSE_MILLIS = 150

interface Stores {
  db: Db
  bytes: BytesBackend
  storePath: string
  /** Makes the database take the store that it finds, for example after a restore. */
  adopt: boolean
}

/**
 * Checks that a local blob store belongs to the database: both keep the same random id, which they get when they first
 * meet. The clean-up of a database would destroy the blobs of any other database in the store, and `verify` with
 * `repair` would delete the records of blobs that are in another store.
 *
 * @throws {BLOB_STORE_MISMATCH} when the store and the database do not belong together
 */
export async function checkStoreIdentity(stores: Stores): Promise<void> {
  const { db, storePath, adopt } = stores
  for (let attempt = 1; ; attempt++) {
    const [found, expected] = [await readStoreId(storePath), await readProperty(db, PROPERTY)]
    if (expected !== undefined && expected === found) return
    const contradiction = adopt ? undefined : await contradictionOf(stores, found, expected)
    if (contradiction === undefined) {
      await writeProperty(db, PROPERTY, found ?? (await createStoreId(storePath)))
      return
    }
    // Another process may just have given the store its id, and be about to tell the database.
    if (attempt === ATTEMPTS) throw mismatch(storePath, contradiction)
    await sleep(PAUSE_MILLIS)
  }
}

/** Says why a store and a database do not belong together, or returns undefined if they may. */
async function contradictionOf(
  { db, bytes }: Stores,
  found: string | undefined,
  expected: string | undefined,
): Promise<string | undefined> {
  if (found !== undefined && expected !== undefined) return 'is the store of another database'
  if (found !== undefined) {
    return (await isEmpty(bytes)) ? undefined : 'belongs to another database, and this database has no store yet'
  }
  const { records } = await readUsage(db)
  if (records === 0) return undefined
  const isElsewhere = expected !== undefined || (await isEmpty(bytes))
  return isElsewhere ? `does not hold the ${records} blobs of this database: it may not be mounted` : undefined
}

async function isEmpty(bytes: BytesBackend): Promise<boolean> {
  for await (const _ of bytes.list()) return false
  return true
}

function mismatch(storePath: string, what: string): StorageError {
  const message = `The blob store ${storePath} ${what}. Check blobStore.storePath and the database; after a restore, open once with adoptBlobStore: true`
  return new StorageError('BLOB_STORE_MISMATCH', message, { details: { storePath } })
}
