import type { Storage, StorageConfig, StorageConfigFile } from 'holdfast'
import { openStorage } from 'holdfast'
import type { rootSchema, storageSchema, ValidStorageConfig } from 'holdfast/config'
import type * as z from 'zod'

// Checked by tsc: the documented types of the configuration say what the schemas accept.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Interfaces and unions spelled out, so that only their content is compared. */
type Flat<T> = T extends (infer Item)[] ? Flat<Item>[] : T extends object ? { [K in keyof T]: Flat<T[K]> } : T

export const content: Same<Flat<StorageConfig>, Flat<z.input<typeof storageSchema>>> = true
export const file: Same<Flat<StorageConfigFile>, Flat<z.input<typeof rootSchema>>> = true

/** What was validated can be opened. */
export const opened = (config: ValidStorageConfig): StorageConfig => config

/** The comparison does tell configurations apart. */
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

export async function refused() {
  // @ts-expect-error there is no such backend
  await openStorage({ storage: { database: { type: 'mysql' } } })
  // @ts-expect-error there is no such option
  await openStorage({ storage: { database: { type: 'sqlite', file: 'agent.db' } } })
  // @ts-expect-error there is no such layer
  await openStorage({ databse: { type: 'sqlite' } })
}
