import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResolvedDatabase } from '../../config/resolved.ts'
import type { Database } from '../../database/database.ts'
import type { Db, DialectKit, Driver } from '../../database/db.ts'
import { LazyDb } from '../../database/lazy-db.ts'
import { openDatabase, sqliteKit } from '../../database/open.ts'
import type { BytesBackend } from '../bytes/backend.ts'

/** The file in a store that holds the records, if the main database is in memory. */
export const RECORDS_FILE = 'records.db'

/** A database of the records apart from the main database. */
export interface RecordsDatabase {
  readonly db: Db
  /** True if the database was never opened, so it holds no record. */
  readonly unused: boolean
  /** Opens the database, if it is not open. */
  open(): Promise<Database>
  /** Set if the database is a file. */
  readonly overwriting?: Driver['overwriting']
  close(): Promise<void>
}

/**
 * Opens a database for the records if the main database does not live as long as the bytes. Returns undefined if the
 * records are in the main database: if both live equally long, or if a backend of the program's own keeps the bytes,
 * which has no `storePath` for another database.
 */
export async function openRecordsDatabase(
  database: ResolvedDatabase,
  bytes: Pick<BytesBackend, 'type'>,
  storePath: string | undefined,
): Promise<RecordsDatabase | undefined> {
  if ((database.type === 'in-memory') === (bytes.type === 'in-memory')) return undefined
  if (bytes.type === 'in-memory') return inMemory(await sqliteKit())
  return storePath === undefined ? undefined : inStore(storePath)
}

/** Opens the database on first use: a program on PostgreSQL that stores no blobs does not need SQLite installed. */
function inMemory(kit: DialectKit): RecordsDatabase {
  let opened: Promise<Database> | undefined
  const open = () => {
    opened ??= openDatabase({ type: 'in-memory', search: false }, { migrate: true }).catch((error: unknown) => {
      opened = undefined // the next use tries again: the missing driver may have been installed
      throw error
    })
    return opened
  }
  return {
    db: new LazyDb(kit, open),
    open,
    get unused() {
      return opened === undefined
    },
    close: async () => (await opened)?.close(),
  }
}

async function inStore(storePath: string): Promise<RecordsDatabase> {
  const file = join(storePath, RECORDS_FILE)
  await (await open(file, 'a', 0o600)).close() // created here, because SQLite would make it readable for everybody
  const settings = { synchronous: 'full', readonly: false, busyTimeoutMillis: 5000, search: false } as const
  const db = await openDatabase({ type: 'sqlite', file, ...settings }, { migrate: true })
  return {
    db,
    unused: false,
    open: async () => db,
    overwriting: db.driver.overwriting?.bind(db.driver),
    close: () => db.close(),
  }
}
