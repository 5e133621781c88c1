import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig } from 'holdfast'
import { onTestFinished } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const local = () => ({ type: 'local', storePath: join(freshDirectory(), 'blobs') }) as const
const sqlite = () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') }) as const

/** Configurations of every kind: where the rows are, and where the records of blobs are. */
export const kinds = {
  'in-memory': async () => ({}),
  'in-memory, local blobs': async () => ({ blobStore: local() }),
  sqlite: async () => ({ database: sqlite(), blobStore: local() }),
  'sqlite, blobs in memory': async () => ({ database: sqlite() }),
  'sqlite, blobs in the database': async () => ({ database: sqlite(), blobStore: { type: 'database' } }),
  'postgres, blobs in the database': async () => ({
    database: { type: 'postgres', url: await freshPostgres() },
    blobStore: { type: 'database' },
  }),
  postgres: async () => ({ database: { type: 'postgres', url: await freshPostgres() }, blobStore: local() }),
} as const satisfies Record<string, () => Promise<StorageConfig>>

export type Kind = keyof typeof kinds

/** Opens a new storage, which is closed at the end of the test. */
export async function openKind(kind: Kind): Promise<Storage> {
  const storage = await openStorage(await kinds[kind](), quiet)
  onTestFinished(() => storage.close())
  return storage
}

/** Returns a directory that does not exist yet. */
export const newDirectory = () => join(freshDirectory(), 'archive')
