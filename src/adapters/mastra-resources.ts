import type { StorageResourceType } from '@mastra/core/storage'
import { isStorageError, StorageError } from '../errors.ts'
import type { Kv } from '../repositories/kv/kv.ts'
import type { Json } from '../schema/values.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { checkResourceId, MASTRA } from './mastra-threads.ts'
import { decode, encodeLoosely } from './tagged-json.ts'

/** How often a resource is read again because others have changed it meanwhile. */
const MAX_ATTEMPTS = 50

/** The resources of Mastra: an entry of `kv` each. */
export class Resources {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  /** Returns a resource, or null if nothing is stored of it. */
  async get(id: string): Promise<StorageResourceType | null> {
    checkResourceId(id)
    // Not `get`: the cache of this process may not know yet what another process has written.
    const stored = (await entriesOf(this.#storage).getMany([id])).get(id)
    return stored === undefined ? null : read(stored)
  }

  /** Stores a resource in place of what is stored of it. */
  async save(resource: StorageResourceType): Promise<StorageResourceType> {
    checkResourceId(resource.id, 'resource.id')
    const now = new Date()
    const saved = { ...resource, createdAt: resource.createdAt ?? now, updatedAt: resource.updatedAt ?? now }
    await entriesOf(this.#storage).set(resource.id, encodeLoosely(saved))
    return saved
  }

  /**
   * Changes a resource, and creates it if needed.
   *
   * @throws {VERSION_CONFLICT} when others have changed it at each of 50 attempts
   */
  async update(
    id: string,
    { workingMemory, metadata }: { workingMemory: string | undefined; metadata: Record<string, unknown> | undefined },
  ): Promise<StorageResourceType> {
    checkResourceId(id)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#storage.transaction(async (tx) => {
          const entries = entriesOf(tx)
          const stored = await entries.getEntry(id)
          const now = new Date()
          const before: StorageResourceType =
            stored === undefined ? { id, metadata: {}, createdAt: now, updatedAt: now } : read(stored.value)
          const changed = {
            ...before,
            ...(workingMemory !== undefined && { workingMemory }),
            metadata: { ...before.metadata, ...metadata },
            updatedAt: now,
          }
          if (stored !== undefined) await entries.set(id, encodeLoosely(changed), { ifVersion: stored.version })
          else if (!(await entries.setIfAbsent(id, encodeLoosely(changed))).inserted) throw createdByOthers(id)
          return changed
        })
      } catch (error) {
        if (!isStorageError(error, 'VERSION_CONFLICT') || attempt === MAX_ATTEMPTS) throw error
      }
    }
  }
}

function createdByOthers(key: string): StorageError {
  const message = 'Another call has created the resource: read it again'
  return new StorageError('VERSION_CONFLICT', message, { details: { key, expected: 0, actual: undefined } })
}

function entriesOf({ kv }: { readonly kv: Kv }): Kv {
  return kv.namespace(MASTRA, 'resources')
}

function read(stored: Json): StorageResourceType {
  return decode(stored) as StorageResourceType // `save` or `update` has written it
}
