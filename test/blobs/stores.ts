import { join } from 'node:path'
import { openStorage, type Storage, type StorageConfig, type StorageOptions } from 'holdfast'
import { describe } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'

/** Opens the store of the group, which stays the same, except in memory: there it is a new one each time. */
export type Open = (options?: StorageOptions & { blobStore?: Partial<Limits> }) => Promise<Storage>

interface Limits {
  maxBlobSize: number
  maxTotalSize: number
  cleanupAfterDays: number
}

type Configure = () => Promise<StorageConfig> | StorageConfig

const sqlite = () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'test.db') })
const postgres = async () => ({ type: 'postgres' as const, url: await freshPostgres(), maxConnections: 5 })
const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })

/** Records and bytes that live equally long, and so records in the main database. */
export const TOGETHER: Record<string, Configure> = {
  'in-memory': () => ({}),
  'local, sqlite': () => ({ database: sqlite(), blobStore: local() }),
  'local, postgres': async () => ({ database: await postgres(), blobStore: local() }),
}

/** Records in a database of their own. */
export const APART: Record<string, Configure> = {
  'in-memory, sqlite': () => ({ database: sqlite() }),
  'in-memory, postgres': async () => ({ database: await postgres() }),
  'local, in-memory': () => ({ blobStore: local() }),
}

/** Stores whose bytes are files of several processes. */
export const SHARED: Record<string, Configure> = {
  'local, sqlite': TOGETHER['local, sqlite'] as Configure, // it is there
  'local, postgres': TOGETHER['local, postgres'] as Configure,
}

export const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Defines the same tests for each of these stores. */
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
          return openStorage(limited as StorageConfig, { logger: silent, maintenance: false, ...options }) // a type with its limits
        },
        settled,
        name,
      )
    })
  }
}
