import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type BetterSqlite3 from 'better-sqlite3'
import { messageOf } from '../../caught.ts'
import type { ResolvedConfig } from '../../config/resolved.ts'
import { StorageError } from '../../errors.ts'
import { makeDirectories } from '../../make-directories.ts'
import { countersOf } from '../../observability/counters.ts'
import type { Driver } from '../db.ts'
import { SqliteConnection } from './connection.ts'
import { OVERWRITE_IN_PAGES, SqliteDriver, sourceOf } from './driver.ts'
import { sqliteError } from './errors.ts'
import { FileIdentity } from './file-identity.ts'
import { sqliteKit } from './kit.ts'
import { loadBetterSqlite3 } from './load.ts'
import { type VectorSupport, vectorFunctions } from './vectors.ts'
import { WriteQueue } from './write-queue.ts'

export { sqliteKit } // imported from here, as a chunk of its own would be one more file to load

type SqliteConfig = Extract<ResolvedConfig['database'], { type: 'sqlite' }>

/**
 * Opens a SQLite file with two connections. The writer takes all writes, through a queue, and reads while no transaction
 * holds it. The reader takes the reads beside an open transaction (WAL); it is opened on first use.
 *
 * @throws {DRIVER_MISSING} when better-sqlite3 is not installed, was not compiled, or does not suit this version of Node
 * @throws {CONNECTION_FAILED} when the file cannot be opened, or is not a SQLite database
 * @throws {TIMEOUT} when another process locks the file for longer than `busyTimeoutMillis`
 */
export async function openSqlite(
  config: SqliteConfig,
  { vectors = false }: { vectors?: VectorSupport } = {},
): Promise<Driver> {
  const Database = await loadBetterSqlite3()
  const extend = await vectorFunctions(vectors)
  const { file, readonly, busyTimeoutMillis, synchronous } = config
  let opened: BetterSqlite3.Database | undefined
  try {
    // timeout 0: a wait inside SQLite would block the event loop. The queue waits on a timer instead.
    const open = () => new Database(file, { readonly, fileMustExist: readonly, timeout: 0 })
    try {
      opened = open()
    } catch (error) {
      if (readonly || existsSync(dirname(file))) throw error
      await makeDirectories(dirname(file))
      opened = open()
    }
    const writer = new SqliteConnection(opened, extend)
    const identity = FileIdentity.of(file)
    const queue = new WriteQueue(writer, { busyTimeoutMillis, durable: true, counters: countersOf(sourceOf(writer)) })
    const forWriting = readonly ? '' : `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; ${FLUSH}`
    await queue.whenUnlocked(() => writer.exec(`${forWriting} ${OVERWRITE_IN_PAGES} PRAGMA foreign_keys = ON`))
    const openReader = () =>
      identity.reopen(() => new SqliteConnection(new Database(file, { readonly: true, timeout: 0 }), extend))
    return new SqliteDriver(writer, queue, { openReader, openCopy: async () => openReader(), identity })
  } catch (error) {
    opened?.close()
    throw openError(error, file)
  }
}

/**
 * Has an effect on macOS alone, whose fsync leaves data in the cache of the disk. Each commit then takes some milliseconds
 * with `synchronous = full`, and each checkpoint with `normal`.
 */
const FLUSH = 'PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;'

/** How long a call waits for a transaction that holds the one connection of a database in memory. */
const MEMORY_WAIT_MILLIS = 5000

/**
 * Opens a database in memory, on one connection.
 *
 * @throws {DRIVER_MISSING} when better-sqlite3 is not installed, was not compiled, or does not suit this version of Node
 */
export async function openMemory({ vectors = false }: { vectors?: VectorSupport } = {}): Promise<Driver> {
  const Database = await loadBetterSqlite3()
  const writer = new SqliteConnection(new Database(':memory:'), await vectorFunctions(vectors))
  writer.exec('PRAGMA foreign_keys = ON')
  const counters = countersOf(sourceOf(writer))
  const queue = new WriteQueue(writer, { busyTimeoutMillis: MEMORY_WAIT_MILLIS, durable: false, counters })
  const openCopy = async () => {
    const release = await queue.acquire() // waits for an open transaction: the copy must not have its uncommitted rows
    try {
      return new SqliteConnection(new Database(writer.serialize()))
    } finally {
      release()
    }
  }
  return new SqliteDriver(writer, queue, { openCopy })
}

function openError(error: unknown, file: string): unknown {
  const known = sqliteError(error, file)
  if (known instanceof StorageError) return known
  return new StorageError('CONNECTION_FAILED', `Cannot open the SQLite file ${file}: ${messageOf(error)}`, {
    cause: error,
    details: { file },
  })
}
