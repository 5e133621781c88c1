import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResolvedBlobStore, ResolvedDatabase } from '../../config/resolve.ts'
import { type Database, tablesOf } from '../../database/database.ts'
import type { Db } from '../../database/db.ts'
import { LazyDb } from '../../database/lazy-db.ts'
import { openDatabase } from '../../database/open.ts'

/** The database of the records where it is not the main one. */
export interface RecordsDatabase {
  readonly db: Db
  /** Whether there cannot be a record, since it was never opened. */
  readonly unused: boolean
  close(): Promise<void>
}

/** Records live as long as their bytes: where the main database lives longer, or shorter, they have their own. */
export async function openRecordsDatabase(
  database: ResolvedDatabase,
  blobStore: ResolvedBlobStore,
): Promise<RecordsDatabase | undefined> {
  if ((database.type === 'in-memory') === (blobStore.type === 'in-memory')) return undefined
  return blobStore.type === 'in-memory' ? inMemory() : inStore(blobStore.storePath)
}

/** Opened at its first use: many programs configure no blob store and store no blob, and with PostgreSQL need no SQLite. */
function inMemory(): RecordsDatabase {
  let opened: Promise<Database> | undefined
  const open = () => {
    opened ??= openDatabase({ type: 'in-memory' }, { migrate: true }).catch((error: unknown) => {
      opened = undefined // what is missing may be installed
      throw error
    })
    return opened
  }
  return {
    db: new LazyDb({ dialect: 'sqlite', tables: tablesOf('sqlite') }, open),
    get unused() {
      return opened === undefined
    },
    close: async () => (await opened)?.close(),
  }
}

async function inStore(storePath: string): Promise<RecordsDatabase> {
  const file = join(storePath, 'records.db')
  await (await open(file, 'a', 0o600)).close() // SQLite would let everybody read it
  const settings = { synchronous: 'full', readonly: false, busyTimeoutMillis: 5000 } as const
  const db = await openDatabase({ type: 'sqlite', file, ...settings }, { migrate: true })
  return { db, unused: false, close: () => db.close() }
}
