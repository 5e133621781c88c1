import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { describe } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

/** Opens the store of the test group. A store in memory is new each time. */
export type Open = (options?: StorageOptions & { blobStore?: Partial<Limits> }) => Promise<Storage>

interface Limits {
  maxBlobSize: number
  maxTotalSize: number
  cleanupAfterDays: number | 'never'
  offloadAboveBytes: number
}

type Configure = () => Promise<StorageConfig> | StorageConfig

const sqlite = () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'test.db') })
const postgres = async () => ({ type: 'postgres' as const, url: await freshPostgres(), maxConnections: 5 })
const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })

/** Stores whose records are in the main database, because it lives as long as the bytes. */
export const MAIN_RECORDS: Record<string, Configure> = {
  'in-memory': () => ({}),
  'local, sqlite': () => ({ database: sqlite(), blobStore: local() }),
  'local, postgres': async () => ({ database: await postgres(), blobStore: local() }),
}

/** Stores whose records are in a database of their own. */
export const SEPARATE_RECORDS: Record<string, Configure> = {
  'in-memory, sqlite': () => ({ database: sqlite() }),
  'in-memory, postgres': async () => ({ database: await postgres() }),
  'local, in-memory': () => ({ blobStore: local() }),
}

/** Stores that several processes can share. */
export const SHARED: Record<string, Configure> = {
  'local, sqlite': MAIN_RECORDS['local, sqlite'] as Configure, // defined above
  'local, postgres': MAIN_RECORDS['local, postgres'] as Configure,
}

/** Stores whose bytes are in the database of the records. Several processes can share them. */
export const INSIDE: Record<string, Configure> = {
  'database, sqlite': () => ({ database: sqlite(), blobStore: { type: 'database' } }),
  'database, postgres': async () => ({ database: await postgres(), blobStore: { type: 'database' } }),
}

/** Defines the same tests for each store. */
export function eachStore(
  stores: Record<string, Configure>,
  define: (open: Open, config: Configure, name: string) => void,
): void {
  for (const [name, configure] of Object.entries(stores)) {
    let config: ReturnType<Configure> | undefined
    const settled: Configure = () => {
      config ??= configure()
      return config
    }
    describe(name, () => {
      define(
        async ({ blobStore = {}, ...options } = {}) => {
          const known = await settled()
          const limited = { ...known, blobStore: { type: 'in-memory' as const, ...known.blobStore, ...blobStore } }
          return openStorage(limited as StorageConfig, { ...quiet, ...options }) // TypeScript cannot relate the spread limits to the type of the store
        },
        settled,
        name,
      )
    })
  }
}
