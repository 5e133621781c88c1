import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Db } from '../database/db.ts'
import { claimProperty, ID, ignoreReadOnly, readProperty, writeProperty } from '../database/identity.ts'
import { StorageError } from '../errors.ts'
import type { BytesBackend } from './bytes/backend.ts'
import { lstatIfExists } from './bytes/files.ts'
import type { StoreMark, StoreMarks } from './bytes/store-id.ts'
import { RECORDS_FILE } from './protocol/records-database.ts'
import { readUsage } from './protocol/usage.ts'

/** The name under which a database keeps the id of its blob store. */
const PROPERTY = 'blob-store'

const OWN_RECORDS = `belongs to programs with an in-memory database: it holds their records (${RECORDS_FILE})`

interface Stores {
  /** The database of the records. */
  db: Db
  bytes: BytesBackend
  marks: StoreMarks
  /** The directory of a local store, which may hold the database of the records. */
  storePath: string | undefined
  /** True if the database of the records is a file in the store. */
  holdsRecords: boolean
  /** Makes the store and the database name each other, whatever they named before. */
  adopt: boolean
}

/** What the store and the database say before the check. */
interface Names {
  /** The id of the database. Undefined if the database has none, and is read-only. */
  database: string | undefined
  /** The id of the store that the database names. */
  expected: string | undefined
  found: StoreMark | undefined
}

/**
 * Checks that a blob store and the database of its records name each other, which they do from their first meeting
 * on. The clean-up of a database would destroy the blobs of any other database in the store, and `verify` with `repair`
 * would delete the records of blobs that are in another store.
 *
 * @throws {BLOB_STORE_MISMATCH} when the store and the database do not belong together
 */
export async function checkStoreIdentity(stores: Stores): Promise<void> {
  const { db, marks, adopt } = stores
  const database = await claimProperty(db, ID, randomUUID())
  // Read before the mark: who marries the two marks the store first.
  const expected = await storeNamedBy(db)
  const found = await marks.read()
  const contradiction = await contradictionOf(stores, { database, expected, found })
  if (contradiction !== undefined && !adopt) {
    // Another process of this database may have marked the store and put the first bytes while this one looked.
    if (found === undefined && (await marks.read()) !== undefined) return checkStoreIdentity(stores)
    throw mismatch(marks, contradiction)
  }
  if (database === undefined) return // it can name no store, and no store can name it
  const { store } = await mark(stores, found, database)
  if (expected === store) return
  if (adopt) return writeProperty(db, PROPERTY, store)
  const named = (await claimProperty(db, PROPERTY, store)) ?? store
  if (named !== store) throw mismatch(marks, await elsewhere(db)) // another process has just given it another store
}

/**
 * Checks that a database which is to keep the bytes itself has no blobs in another store.
 *
 * @throws {BLOB_STORE_MISMATCH} when the blobs of the database are in another store
 */
export async function checkStoreInside(db: Db, adopt: boolean): Promise<void> {
  if (adopt || (await storeNamedBy(db)) === undefined) return
  const { records } = await readUsage(db)
  if (records === 0) return
  const message = `The ${records} blobs of this database are in another store, not in the database itself. Check blobStore.type. To give up these blobs, open once with adoptBlobStore: true`
  throw new StorageError('BLOB_STORE_MISMATCH', message, { details: { storePath: 'database' } })
}

/** Returns the id of the store that a database names, or undefined if it names none. */
export function storeNamedBy(db: Db): Promise<string | undefined> {
  return readProperty(db, PROPERTY)
}

/**
 * Checks a store in which the records would be, before their database is created there.
 *
 * @throws {BLOB_STORE_MISMATCH} when the store holds no records, but belongs to a database
 */
export async function checkOwnRecords(storePath: string, marks: StoreMarks, bytes: BytesBackend): Promise<void> {
  if ((await marks.read()) === undefined && (await isEmpty(bytes))) return
  if (await holdsRecords(storePath)) return // asked last: another process may have created them meanwhile
  throw mismatch(marks, `belongs to a database elsewhere: it holds bytes, and no records (${RECORDS_FILE})`)
}

/** Makes the store name the database. Returns what the store says then. */
async function mark({ marks, adopt }: Stores, found: StoreMark | undefined, database: string): Promise<StoreMark> {
  const now = found ?? (await marks.create({ store: randomUUID(), database }))
  if (now.database === database) return now
  if (found === undefined && !adopt) throw mismatch(marks, 'was given to another database at this moment')
  const given = { ...now, database }
  await marks.replace(given).catch(ignoreReadOnly)
  return given
}

/** Says why a store and a database do not belong together, or returns undefined if they may. */
async function contradictionOf(stores: Stores, { database, expected, found }: Names): Promise<string | undefined> {
  if (found === undefined) return expected === undefined ? firstMeeting(stores) : elsewhere(stores.db)
  if (found.store === expected) {
    const isOurs = found.database === undefined || found.database === database
    return isOurs ? undefined : 'was taken over by another database, which opened it with adoptBlobStore'
  }
  if (found.database !== undefined && found.database === database) {
    return expected === undefined ? undefined : 'is an earlier store of this database, which has another one now'
  }
  if (!stores.holdsRecords && (await holdsRecords(stores.storePath))) return OWN_RECORDS
  if (expected !== undefined) return 'is the store of another database'
  return 'belongs to another database, and this database has no store yet'
}

/** Judges a store and a database that both name nobody: both are new, or an earlier version made them. */
async function firstMeeting({ db, bytes, storePath, holdsRecords: own }: Stores): Promise<string | undefined> {
  if (own) return undefined
  if (await holdsRecords(storePath)) return OWN_RECORDS
  const { records } = await readUsage(db)
  const empty = await isEmpty(bytes)
  if (records > 0 && empty) return notMounted(records)
  return records === 0 && !empty ? 'holds bytes, and this database has no record of any' : undefined
}

/** Says why a store cannot be that of a database which names another one. */
async function elsewhere(db: Db): Promise<string> {
  const { records } = await readUsage(db)
  return records > 0 ? notMounted(records) : 'is a new one, and this database has a store already'
}

const notMounted = (records: number) => `does not hold the ${records} blobs of this database: it may not be mounted`

const holdsRecords = async (storePath: string | undefined) =>
  storePath !== undefined && (await lstatIfExists(join(storePath, RECORDS_FILE))) !== undefined

async function isEmpty(bytes: BytesBackend): Promise<boolean> {
  for await (const _ of bytes.list()) return false
  return true
}

function mismatch({ place, setting }: StoreMarks, what: string): StorageError {
  const message = `The blob store ${place} ${what}. Check ${setting}, and the database. After a restore, or to give the store to this database, open once with adoptBlobStore: true`
  return new StorageError('BLOB_STORE_MISMATCH', message, { details: { storePath: place } })
}
