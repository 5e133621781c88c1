import type { Storage, StorageScope } from '../storage/types.ts'
import { ArtifactStore } from './dexto-artifacts.ts'
import { ConversationStore, QueueStore, SessionStore } from './dexto-conversations.ts'
import { CustomPromptStore, MemoryStore, ToolStateStore, WorkspaceStore } from './dexto-knowledge.ts'
import { ApprovalStore, RuntimeEventStore, ToolExecutionStore, ToolPreferenceStore } from './dexto-runs.ts'
import { checkStorage } from './invalid.ts'

/** What Dexto calls on its stores. `DextoStores` of `@dexto/core` has this shape. */
export interface DextoStoresShape {
  getStore(name: never): unknown
  connect(): Promise<void>
  disconnect(): Promise<void>
  isConnected(): boolean
  getStoreType(): string
}

/** Options of `dextoStores()`. */
export interface DextoStoresOptions {
  /** The directory of a local blob store, which Dexto then leaves out when it looks for files. Default: none. */
  storagePath?: string | undefined
}

/**
 * Returns the stores of a Dexto agent over a storage or a scope. What the agent stores is a session, a message, a memory, an
 * approval of the storage, so that everything else of the storage works with it. `disconnect` leaves the storage open: the
 * program that has opened it closes it.
 *
 * @typeParam Stores `DextoStores` of `@dexto/core`, which this package does not depend on. It is not checked beyond its shape.
 *
 * @example
 * ```ts
 * import { dextoStores } from 'holdfast/dexto'
 * const stores = dextoStores(storage) // new DextoAgent({ stores: dextoStores<DextoStores>(storage), ... })
 * await stores.connect()
 * console.log(stores.isConnected()) // true
 * ```
 */
export function dextoStores<Stores extends DextoStoresShape = DextoStoresShape>(
  storage: Storage | StorageScope,
  { storagePath }: DextoStoresOptions = {},
): Stores {
  checkStorage(storage, 'messages')
  const stores = {
    conversation: new ConversationStore(storage),
    sessions: new SessionStore(storage),
    memories: new MemoryStore(storage),
    workspaces: new WorkspaceStore(storage),
    approvals: new ApprovalStore(storage),
    toolPreferences: new ToolPreferenceStore(storage),
    toolState: new ToolStateStore(storage),
    steerQueue: new QueueStore(storage, 'steer'),
    followUpQueue: new QueueStore(storage, 'followUp'),
    customPrompts: new CustomPromptStore(storage),
    artifacts: new ArtifactStore(storage, storagePath),
    runtimeEvents: new RuntimeEventStore(storage),
    toolExecutions: new ToolExecutionStore(storage),
  }
  let isConnected = false
  const dexto = {
    getStore(name: keyof typeof stores) {
      if (Object.hasOwn(stores, name)) return stores[name]
      throw new TypeError(`Dexto asks for the store "${name}", which holdfast/dexto does not have`)
    },
    async connect() {
      isConnected = true
    },
    async disconnect() {
      isConnected = false
    },
    isConnected: () => isConnected,
    getStoreType: () => 'holdfast',
  }
  return dexto as unknown as Stores // the stores return what Dexto has given them, under Dexto's types
}
