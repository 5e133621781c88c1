import type { Kv } from '../repositories/kv/kv.ts'
import type { Memory } from '../repositories/memories/types.ts'
import type { Prompt } from '../repositories/prompts.ts'
import type { Workspace } from '../repositories/workspaces.ts'
import type { JsonObject } from '../schema/values.ts'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { DEXTO } from './dexto-conversations.ts'
import { itemsOf } from './parts.ts'
import { decode, encode } from './tagged-json.ts'

/** A memory as Dexto has it. Its id is Dexto's own. */
interface DextoMemory {
  id: string
  content: string
  createdAt: number
  updatedAt: number
  tags?: string[]
  metadata?: Record<string, unknown>
}

/** What a memory of ours has no field for. */
interface Own extends DextoMemory {
  /** The property of Dexto's metadata that has the name of ours. */
  named?: unknown
  hasTags: boolean
  hasMetadata: boolean
}

/** Dexto's memories, as ours: they are searched and recalled with all others. */
export class MemoryStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async create({ memory }: { memory: DextoMemory }): Promise<void> {
    await this.#decide(async (tx) => {
      const { tags, metadata, content } = fromDexto(memory)
      const known = await idsOf(tx).get<string>(memory.id)
      const existing = known === undefined ? undefined : await tx.memories.get(known)
      if (existing === undefined) {
        const { id } = await tx.memories.create({ content, tags, metadata })
        return void (await idsOf(tx).set(memory.id, id))
      }
      const removed = Object.fromEntries(Object.keys(existing.metadata).map((key) => [key, undefined]))
      await tx.memories.update(existing.id, { content, tags, metadata: { ...removed, ...metadata } })
    })
  }

  async get({ id }: { id: string }): Promise<DextoMemory | undefined> {
    const known = await idsOf(this.#storage).get<string>(id)
    const memory = known === undefined ? undefined : await this.#storage.memories.get(known)
    return memory && toDexto(memory)
  }

  /** Replaces a memory. Creates it if it does not exist, as Dexto's own stores do. */
  async update(input: { memory: DextoMemory }): Promise<void> {
    await this.create(input)
  }

  async delete({ id }: { id: string }): Promise<void> {
    await this.#decide(async (tx) => {
      const known = await idsOf(tx).get<string>(id)
      if (known === undefined) return
      await tx.memories.delete(known)
      await idsOf(tx).delete(id)
    })
  }

  /** Runs a change that depends on whether the memory exists: no other call creates or removes the memory meanwhile. */
  #decide(body: (tx: StorageTransaction) => Promise<void>): Promise<void> {
    return this.#storage.transaction(body, { isolation: 'serializable' })
  }

  /** Returns the memories of Dexto. Those that another part of the program has created have no id that Dexto knows. */
  async list(): Promise<DextoMemory[]> {
    const all = await itemsOf((page) => this.#storage.memories.list(page))
    return all.filter(({ metadata }) => metadata[DEXTO] !== undefined).map(toDexto)
  }
}

/** Returns our ids of memories, by Dexto's. */
function idsOf({ kv }: Storage | StorageScope | StorageTransaction): Kv {
  return kv.namespace(DEXTO, 'memories')
}

function fromDexto({ content, tags, metadata, ...rest }: DextoMemory) {
  const { [DEXTO]: named, ...given } = metadata ?? {}
  const own = { ...rest, named, hasTags: tags !== undefined, hasMetadata: metadata !== undefined }
  const json = encode(given) as JsonObject // Dexto's metadata is an object
  return { content, tags: tags ?? [], metadata: { ...json, [DEXTO]: encode(own) } }
}

function toDexto({ content, tags, metadata }: Memory): DextoMemory {
  const { [DEXTO]: stored = {}, ...given } = metadata
  const { named, hasTags, hasMetadata, ...rest } = decode(stored) as Own // as fromDexto made it
  const others = decode(given) as Record<string, unknown> // an object, as it was given
  return {
    ...rest,
    content,
    ...(hasTags && { tags }),
    ...(hasMetadata && { metadata: { ...others, ...(named !== undefined && { [DEXTO]: named }) } }),
  }
}

/** A workspace as Dexto has it. */
interface DextoWorkspace {
  id: string
  path: string
  name?: string
  createdAt: number
  lastActiveAt: number
}

/** Dexto's workspaces, as ours. */
export class WorkspaceStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async saveWorkspace({
    workspace: { id, path, name, createdAt, lastActiveAt },
  }: {
    workspace: DextoWorkspace
  }): Promise<void> {
    const metadata = { [DEXTO]: { createdAt, lastActiveAt } }
    await this.#storage.workspaces.save({ id, path, name: name ?? null, metadata })
  }

  async getWorkspace({ id }: { id: string }): Promise<DextoWorkspace | undefined> {
    const workspace = await this.#storage.workspaces.get(id)
    return workspace && workspaceOf(workspace)
  }

  async findWorkspaceByPath({ path }: { path: string }): Promise<DextoWorkspace | undefined> {
    const workspace = await this.#storage.workspaces.findByPath(path)
    return workspace && workspaceOf(workspace)
  }

  async listWorkspaces(): Promise<DextoWorkspace[]> {
    return (await itemsOf((page) => this.#storage.workspaces.list(page))).map(workspaceOf)
  }

  /**
   * Makes a workspace the current one.
   *
   * @throws {NOT_FOUND} when there is no such workspace.
   */
  async setCurrentWorkspace({ id }: { id: string }): Promise<void> {
    await this.#storage.workspaces.setCurrent(id)
  }

  async getCurrentWorkspaceId(): Promise<string | undefined> {
    return (await this.#storage.workspaces.getCurrent())?.id
  }

  async clearCurrentWorkspace(): Promise<void> {
    await this.#storage.workspaces.clearCurrent()
  }
}

function workspaceOf({ id, path, name, metadata, createdAt, updatedAt }: Workspace): DextoWorkspace {
  const times = { createdAt: createdAt.getTime(), lastActiveAt: updatedAt.getTime() }
  return { id, path, ...(name !== null && { name }), ...times, ...(metadata[DEXTO] as object | undefined) } // as saveWorkspace made it
}

/** Dexto's prompts, as ours. */
export class CustomPromptStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async save({ prompt }: { prompt: { name: string; content: string } }): Promise<void> {
    const { name, content, ...rest } = prompt
    await this.#storage.prompts.save({ name, content, metadata: { [DEXTO]: encode(rest) } })
  }

  async get({ name }: { name: string }): Promise<unknown> {
    const prompt = await this.#storage.prompts.get(name)
    return prompt && promptOf(prompt)
  }

  async delete({ name }: { name: string }): Promise<void> {
    await this.#storage.prompts.delete(name)
  }

  /** Returns the prompts of Dexto, not those that another part of the program has saved. */
  async list(): Promise<unknown[]> {
    const all = await itemsOf((page) => this.#storage.prompts.list(page))
    return all.filter(({ metadata }) => metadata[DEXTO] !== undefined).map(promptOf)
  }
}

function promptOf({ name, content, metadata }: Prompt): unknown {
  return { name, content, ...(decode(metadata[DEXTO] ?? {}) as object) } // as save made it
}

/** What Dexto's tools keep between calls. */
export class ToolStateStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async get({ toolName, key }: { toolName: string; key: string }): Promise<unknown> {
    const value = await this.#storage.toolState.get(toolName, key)
    return value === undefined ? undefined : decode(value)
  }

  async set({ toolName, key, value }: { toolName: string; key: string; value: unknown }): Promise<void> {
    await this.#storage.toolState.set(toolName, key, encode(value))
  }

  async delete({ toolName, key }: { toolName: string; key: string }): Promise<void> {
    await this.#storage.toolState.delete(toolName, key)
  }

  async listKeys({ toolName, prefix }: { toolName: string; prefix?: string }): Promise<string[]> {
    return itemsOf((page) => this.#storage.toolState.keys(toolName, { ...page, prefix }))
  }
}
