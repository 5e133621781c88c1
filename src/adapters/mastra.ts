import { MastraCompositeStore, type StorageDomains } from '@mastra/core/storage'
import type { Storage, StorageScope } from '../storage/types.ts'
import { HoldfastMemory } from './mastra-memory.ts'
import { ThreadState } from './mastra-thread-state.ts'
import { RefusedDefinitions, RefusedWorkflows, refusal } from './mastra-workflows.ts'

export type { MastraTextEmbedder } from './mastra-embedder.ts'
export type { ListMessages, MastraPage } from './mastra-lists.ts'
export { HoldfastMemory } from './mastra-memory.ts'
export { fromMastraMessage, type MastraPut, toMastraMessage } from './mastra-messages.ts'
export type { ThreadChanges } from './mastra-threads.ts'
export { HoldfastMastraVector, type MastraVectorOptions, mastraVector } from './mastra-vector.ts'
export type { MessageChanges } from './mastra-writes.ts'

/** Options of `mastraStorage()`. */
export interface MastraStorageOptions {
  /** The id of the store within Mastra. Default 'holdfast'. */
  id?: string | undefined
}

/**
 * Returns a store of Mastra over a storage or a scope: what agents remember survives the process. It has the domains `memory` and
 * `threadState`, and throws for others. Mastra does not close the storage: close it after Mastra.
 *
 * @example
 * ```ts
 * import { mastraStorage } from 'holdfast/mastra'
 * const memory = await mastraStorage(storage).getStore('memory') // new Mastra({ agents, storage: mastraStorage(storage) })
 * const now = new Date()
 * await memory?.saveThread({ thread: { id: 'trip', resourceId: 'ada', title: 'Oslo', createdAt: now, updatedAt: now } })
 * console.log((await memory?.listThreads({ filter: { resourceId: 'ada' } }))?.total) // 1
 * ```
 */
export function mastraStorage(
  storage: Storage | StorageScope,
  { id = 'holdfast' }: MastraStorageOptions = {},
): HoldfastMastraStore {
  return new HoldfastMastraStore(storage, id)
}

/** A store of Mastra. Made by `mastraStorage()`. */
export class HoldfastMastraStore extends MastraCompositeStore {
  readonly #domains: Readonly<Record<string, unknown>>

  /** @internal */
  constructor(storage: Storage | StorageScope, id: string) {
    super({ id, name: 'HoldfastMastraStore' })
    const memory = new HoldfastMemory(storage)
    const workflows = new RefusedWorkflows()
    const workflowDefinitions = new RefusedDefinitions()
    // If `schedules` is undefined, Mastra itself says that no schedule runs.
    this.#domains = {
      memory,
      threadState: new ThreadState(storage),
      workflows,
      workflowDefinitions,
      schedules: undefined,
    }
    const stores: Partial<StorageDomains> = { memory }
    this.stores = stores as StorageDomains // the type of older versions requires three domains
  }

  /**
   * Returns the domain `memory` or `threadState`. Mastra itself asks for `workflows` at each call of an agent, and for
   * `workflowDefinitions` and `schedules` when its workers start. So `workflows` and `workflowDefinitions` are returned as well:
   * they are empty, drop runs that nobody can resume, and refuse everything else. `schedules` is undefined.
   *
   * @throws {INVALID_STATE} when `name` is another domain; the message names the domain.
   */
  override async getStore<K extends keyof StorageDomains>(name: K): Promise<StorageDomains[K] | undefined> {
    if (!Object.hasOwn(this.#domains, name)) throw refusal(name)
    return this.#domains[name] as StorageDomains[K] | undefined // has the methods, if not the class, which older versions lack
  }
}
