import type { Storage, StorageConfig, StorageConfigFile } from 'holdfast'
import { openStorage } from 'holdfast'
import type { rootSchema, storageSchema, ValidStorageConfig } from 'holdfast/config'
import type * as z from 'zod/mini'
import type { Same } from './same.ts'

// Checked by tsc: the documented types of the configuration say what the schemas accept.

/**
 * Interfaces and unions spelled out, so that only their content is compared. The documented types take constant lists as
 * well.
 */
type Flat<T> = T extends readonly (infer Item)[] ? Flat<Item>[] : T extends object ? { [K in keyof T]: Flat<T[K]> } : T

export const content: Same<Flat<StorageConfig>, Flat<z.input<typeof storageSchema>>> = true
export const file: Same<Flat<StorageConfigFile>, Flat<z.input<typeof rootSchema>>> = true

/** A validated configuration is assignable to StorageConfig. */
export const opened = (config: ValidStorageConfig): StorageConfig => config

/** Proves that the comparison distinguishes configurations. */
export const differences: Same<Flat<StorageConfig['cache']>, Flat<StorageConfig['database']>> = false

export async function accepted(config: StorageConfig, file: StorageConfigFile): Promise<Storage[]> {
  return [
    await openStorage(),
    await openStorage(config),
    await openStorage(file),
    await openStorage({ storage: config }),
    await openStorage({ storage: { database: { type: 'sqlite', path: 'agent.db' } } }),
    await openStorage({ storage: null }),
  ]
}

const constant = {
  cache: { type: 'redis', options: { cluster: [{ host: 'redis-1' }] } },
  database: { type: 'sqlite', path: 'agent.db' },
} as const
export const ofConstants: StorageConfig = constant

export async function refused() {
  // @ts-expect-error there is no such backend
  await openStorage({ storage: { database: { type: 'mysql' } } })
  // @ts-expect-error there is no such option
  await openStorage({ storage: { database: { type: 'sqlite', file: 'agent.db' } } })
  // @ts-expect-error there is no such layer
  await openStorage({ databse: { type: 'sqlite' } })
}

export const valid: Same<Flat<ValidStorageConfig>, Flat<z.output<typeof storageSchema>>> = true
