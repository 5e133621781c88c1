import type { ArchiveLayers } from '../archive/run.ts'
import { invalidInput } from '../validation/input.ts'
import type { Storage } from './types.ts'

/** What functions that take a storage need of it. */
export interface StorageLayers extends ArchiveLayers {
  /** Aborted by the beginning of a close. */
  readonly closing: AbortSignal
}

const known = new WeakMap<Storage, StorageLayers>()

/** Remembers the layers of an open storage. */
export function rememberLayers(storage: Storage, layers: StorageLayers): void {
  known.set(storage, layers)
}

/**
 * Returns the layers of a storage.
 *
 * @throws {INVALID_INPUT} when the value is no storage that this copy of the package has opened
 */
export function layersOf(storage: Storage, path: string): StorageLayers {
  const layers = known.get(storage)
  if (layers === undefined) throw invalidInput([{ path, message: 'must be what openStorage returned' }])
  return layers
}
