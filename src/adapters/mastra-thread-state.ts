import type { Json } from '../schema/values.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { MASTRA, statesOf } from './mastra-threads.ts'
import { setWithSession } from './session-entry.ts'
import { decode, encodeLoosely } from './tagged-json.ts'

/** Which state of which thread. */
interface Place {
  threadId: string
  type: string
}

/**
 * The domain `threadState` of Mastra: the tasks and the goal of a thread, and which files of a workspace its agent has read. An
 * agent with a workspace asks for it at each call. Each state is an entry of `kv` that goes with the session of its thread.
 * Mastra's class is missing in the oldest supported version, so this one does not extend it.
 */
export class ThreadState {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  /** Does nothing: the tables are those of the storage. */
  async init(): Promise<void> {}

  /** Removes nothing: retention is that of the storage. */
  async prune(): Promise<never[]> {
    return []
  }

  /** Returns a state, or undefined if there is none. Not cached. */
  async getState({ threadId, type }: Place): Promise<unknown> {
    // Not `get`: the cache of this process may not know yet what another process has written.
    const stored = (await statesOf(this.#storage, threadId).getMany<Json>([type])).get(type)
    return stored === undefined ? undefined : decode(stored)
  }

  /** Stores a state in place of the one before. Safe to repeat. */
  async setState({ threadId, type, value }: Place & { value: unknown }): Promise<void> {
    await setWithSession(statesOf(this.#storage, threadId), type, encodeLoosely(value), { sessionId: threadId })
  }

  /** Removes a state. Safe to repeat. */
  async deleteState({ threadId, type }: Place): Promise<void> {
    await statesOf(this.#storage, threadId).delete(type)
  }

  /** Removes the states of all threads of the storage, or of the scope. Safe to repeat. */
  async dangerouslyClearAll(): Promise<void> {
    await this.#storage.kv.namespace(MASTRA, 'states').clear()
  }
}
