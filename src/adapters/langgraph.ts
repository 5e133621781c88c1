import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  copyCheckpoint,
  maxChannelVersion,
  type PendingWrite,
  type SerializerProtocol,
  TASKS,
  WRITES_IDX_MAP,
} from '@langchain/langgraph-checkpoint'
import type { Checkpoints } from '../repositories/checkpoints/checkpoints.ts'
import type { CheckpointKey, Checkpoint as Stored, TypedBytes } from '../repositories/checkpoints/types.ts'
import type { StorageScope } from '../storage/types.ts'
import { checkStorage } from './invalid.ts'
import { dumpValue } from './langgraph-dump.ts'
import { loadValue, mayHoldObjects } from './langgraph-load.ts'
import { MAX_ITEMS, partsOf } from './parts.ts'

export { HoldfastStore, type HoldfastStoreOptions, type StoreStorage } from './langgraph-store.ts'
export type { StoreEmbeddings, StoreIndex } from './store-model.ts'

/** A storage, a scope or a transaction: what a saver needs of it. */
export type SaverStorage = { readonly checkpoints: Checkpoints } & Partial<Pick<StorageScope, 'transaction'>>

/** What every method of a saver is given. */
type Config = Parameters<BaseCheckpointSaver['getTuple']>[0]

/** What a channel was before a checkpoint: the last stored value, and what was written to it since. */
export interface ChannelHistory {
  writes: CheckpointPendingWrite[]
  seed?: unknown
}

const MAX_PAGE = 50

/**
 * A checkpointer for LangGraph over `storage.checkpoints`, or that of a scope. Every method takes one round trip to PostgreSQL.
 *
 * @example
 * ```ts
 * import { HoldfastSaver } from 'holdfast/langgraph'
 * const checkpointer = new HoldfastSaver(storage)
 * console.log(await checkpointer.getTuple({ configurable: { thread_id: 'trip' } })) // undefined
 * ```
 */
export class HoldfastSaver extends BaseCheckpointSaver {
  readonly #storage: SaverStorage
  readonly #checkpoints: Checkpoints
  /** True if values are in LangGraph's own format. */
  readonly #isDefault: boolean

  /** `storage` may be a scope or a transaction as well. */
  constructor(storage: SaverStorage, serde?: SerializerProtocol) {
    super(serde)
    checkStorage(storage, 'checkpoints')
    this.#storage = storage
    this.#checkpoints = storage.checkpoints
    this.#isDefault = serde === undefined
  }

  /** Returns the checkpoint that the config names, or the newest one of its thread. */
  async getTuple(config: Config): Promise<CheckpointTuple | undefined> {
    const stored = await this.#find(config)
    return stored && this.#tupleOf(stored)
  }

  /** Yields checkpoints, the newest first. */
  async *list(config: Config, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: id } = config.configurable ?? {}
    const { limit = Number.POSITIVE_INFINITY, before, filter } = options
    const metadata = filter && (await this.#jsonOf(filter))
    const filters = { threadId, namespace, id: id || undefined, before: before?.configurable?.checkpoint_id, metadata }
    let cursor: string | undefined
    for (let left = limit; left > 0; left -= MAX_PAGE) {
      const page = await this.#checkpoints.list({ ...filters, limit: Math.min(left, MAX_PAGE), cursor })
      for (const stored of page.items) yield await this.#tupleOf(stored)
      cursor = page.nextCursor
      if (cursor === undefined) return
    }
  }

  /** Stores a checkpoint with the values that are new at their version. Safe to repeat. */
  async put(config: Config, checkpoint: Checkpoint, metadata: CheckpointMetadata, newVersions: ChannelVersions) {
    const { threadId, namespace } = threadOf(config)
    const { channel_values, ...rest } = copyCheckpoint(checkpoint)
    const all = Object.entries(channel_values)
    // A value without a version is no value of a channel that others share.
    const isOwn = ([channel, value]: [string, unknown]) =>
      isSmall(value) || !Object.hasOwn(rest.channel_versions, channel)
    const own = Object.fromEntries(all.filter(isOwn))
    const versions: Record<string, string> = {}
    for (const [channel, version] of Object.entries(rest.channel_versions)) {
      if (!Object.hasOwn(own, channel)) versions[channel] = String(version)
    }
    const isNew = ([channel]: [string, unknown]) =>
      Object.hasOwn(newVersions, channel) && Object.hasOwn(versions, channel)
    const [{ type, data }, json, values] = await Promise.all([
      this.#bytesOf({ ...rest, channel_values: own }),
      this.#jsonOf(metadata),
      Promise.all(all.filter(isNew).map(async ([channel, value]) => [channel, await this.#bytesOf(value)] as const)),
    ])
    await this.#checkpoints.put({
      threadId,
      namespace,
      id: checkpoint.id,
      parentId: config.configurable?.checkpoint_id || null,
      type,
      data,
      metadata: json,
      versions,
      values: Object.fromEntries(values),
      ancestors: ancestorsOf(metadata),
    })
    return configOf({ threadId, namespace, id: checkpoint.id })
  }

  /**
   * Stores what a task has written, all or nothing: LangGraph does not run a task again that has writes. Safe to repeat: what
   * is stored stays, and only notes such as errors are replaced.
   */
  async putWrites(config: Config, writes: PendingWrite[], taskId: string, taskPath?: string): Promise<void> {
    const task = { ...keyOf(config), taskId, taskPath }
    const rows = await Promise.all(
      writes.map(async ([channel, value], i) => {
        return { channel, index: WRITES_IDX_MAP[channel] ?? i, ...(await this.#bytesOf(value)) }
      }),
    )
    const storage = this.#storage
    const put = async ({ checkpoints }: Pick<SaverStorage, 'checkpoints'>) => {
      for (const part of partsOf(rows)) await checkpoints.putWrites(task, part)
    }
    // Within a transaction of the program there is no other to begin.
    if (rows.length <= MAX_ITEMS || storage.transaction === undefined) await put(storage)
    else await storage.transaction(put)
  }

  /** Removes a thread with everything in it. Safe to repeat. */
  async deleteThread(threadId: string): Promise<void> {
    await this.#checkpoints.deleteThread(threadId)
  }

  /**
   * Removes the older checkpoints of a thread. In each namespace the newest `keepLast` stay, and those that are needed to
   * read them. Returns the number of checkpoints removed. Safe to repeat.
   */
  async prune(threadId: string, options: { keepLast: number }): Promise<number> {
    return this.#checkpoints.prune(threadId, options)
  }

  /** Returns by channel what was written since the last stored value. Reads 50 ancestors in a round trip. */
  override async getDeltaChannelHistory({ config, channels }: { config: Config; channels: string[] }) {
    const histories = new Map<string, ChannelHistory>(channels.map((channel) => [channel, { writes: [] }]))
    const open = new Map(histories)
    for await (const ancestor of this.#ancestors(config)) {
      const found = await this.#writesOf(ancestor, (channel) => open.has(channel))
      // Collected backwards, and turned around below.
      for (const write of found.reverse()) open.get(write[1])?.writes.push(write)
      const values = await this.#valuesOf(ancestor, (channel) => open.has(channel))
      for (const [channel, seed] of values) {
        Object.assign(open.get(channel) ?? {}, { seed })
        open.delete(channel)
      }
      if (open.size === 0) break
    }
    for (const { writes } of histories.values()) writes.reverse()
    return Object.fromEntries(histories)
  }

  /**
   * Returns the next version of a channel: the next integer, with a random fraction. Two branches that start from one
   * checkpoint would otherwise store different values as one version.
   */
  override getNextVersion(current: number | undefined): number {
    return Math.floor(Number(current ?? 0)) + 1 + Math.random()
  }

  async #find(config: Config): Promise<Stored | undefined> {
    if (config.configurable?.thread_id === undefined) return undefined
    const thread = threadOf(config)
    const id: unknown = config.configurable.checkpoint_id
    return id ? this.#checkpoints.get({ ...thread, id: String(id) }) : this.#checkpoints.latest(thread)
  }

  /** Yields the parent of a checkpoint, and its parent, and so on. */
  async *#ancestors(config: Config): AsyncGenerator<Stored> {
    const start = await this.#find(config)
    let wanted = start?.parentId
    if (start === undefined || wanted === null || wanted === undefined) return
    const { threadId, namespace } = start
    // Parents have smaller ids, so the pages have them in order, with checkpoints of other branches in between.
    for (let cursor: string | undefined; ; ) {
      const page = await this.#checkpoints.list({ threadId, namespace, before: start.id, limit: MAX_PAGE, cursor })
      for (const stored of page.items) {
        if (stored.id !== wanted) continue
        yield stored
        wanted = stored.parentId
        if (wanted === null) return
      }
      cursor = page.nextCursor
      if (cursor === undefined) return
    }
  }

  async #tupleOf(stored: Stored): Promise<CheckpointTuple> {
    const { values, writes } = stored
    const channels = Object.keys(values)
    const loaded = await settled([
      this.#load(stored),
      this.#loadMetadata(stored.metadata),
      ...Object.values(values).map((value) => this.#load(value)),
      ...writes.map((write) => this.#load(write)),
    ])
    const checkpoint = loaded[0] as Checkpoint // as `put` has stored it
    const metadata = loaded[1] as CheckpointMetadata // the same
    for (const [i, channel] of channels.entries()) checkpoint.channel_values[channel] = loaded[2 + i]
    const pendingWrites = writes.map(({ taskId, channel }, i): CheckpointPendingWrite => {
      return [taskId, channel, loaded[2 + channels.length + i]]
    })
    if (checkpoint.v < 4 && stored.parentId !== null) await this.#addPendingSends(checkpoint, stored)
    const tuple: CheckpointTuple = { config: configOf(stored), checkpoint, metadata, pendingWrites }
    if (stored.parentId !== null) tuple.parentConfig = configOf({ ...stored, id: stored.parentId })
    return tuple
  }

  /** Adds the tasks that the parent's writes ask for. Before version 4 they were a value of the checkpoint. */
  async #addPendingSends(checkpoint: Checkpoint, { threadId, namespace, parentId }: Stored): Promise<void> {
    const parent = await this.#checkpoints.get({ threadId, namespace, id: String(parentId) })
    const sends = parent ? await this.#writesOf(parent, (channel) => channel === TASKS) : []
    const versions = Object.values(checkpoint.channel_versions)
    checkpoint.channel_values[TASKS] = sends.map(([, , value]) => value)
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined)
  }

  async #valuesOf(stored: Stored, isWanted: (channel: string) => boolean): Promise<[string, unknown][]> {
    const { channel_values: own } = (await this.#load(stored)) as Checkpoint // as `put` has stored it
    const wanted = Object.entries(stored.values).filter(([channel]) => isWanted(channel))
    const shared = await Promise.all(
      wanted.map(async ([channel, typed]): Promise<[string, unknown]> => [channel, await this.#load(typed)]),
    )
    return [...Object.entries(own).filter(([channel]) => isWanted(channel)), ...shared]
  }

  #writesOf({ writes }: Stored, isWanted = (_channel: string) => true): Promise<CheckpointPendingWrite[]> {
    const wanted = writes.filter(({ channel }) => isWanted(channel))
    return Promise.all(
      wanted.map(async (write): Promise<CheckpointPendingWrite> => {
        return [write.taskId, write.channel, await this.#load(write)]
      }),
    )
  }

  #load(typed: TypedBytes): unknown {
    return this.#isDefault ? loadValue(this.serde, typed) : this.serde.loadsTyped(typed.type, typed.data)
  }

  #loadMetadata(metadata: object): unknown {
    const text = JSON.stringify(metadata)
    return this.#isDefault && !mayHoldObjects(text) ? metadata : this.serde.loadsTyped('json', text)
  }

  async #bytesOf(value: unknown): Promise<TypedBytes> {
    if (this.#isDefault) return dumpValue(this.serde, value)
    const [type, data] = await this.serde.dumpsTyped(value)
    return { type, data }
  }

  /** Returns what the serializer makes of an object, as the object that the database can filter by. */
  async #jsonOf(object: object): Promise<Record<string, never>> {
    const { type, data } = await this.#bytesOf(object)
    if (type === 'json') return JSON.parse(decoder.decode(data))
    throw new Error(`HoldfastSaver needs a serializer that writes metadata as "json", not as "${type}"`)
  }
}

/** Waits for values, some of which may be promises. */
async function settled(values: unknown[]): Promise<unknown[]> {
  const pending = values.some((value) => value instanceof Promise)
  return pending ? Promise.all(values) : values
}

const decoder = new TextDecoder()

/** Returns true if a value takes less room within each checkpoint that has it than in a row that they share. */
function isSmall(value: unknown): boolean {
  return value === null || typeof value === 'boolean' || typeof value === 'number'
}

/** Returns how many ancestors a checkpoint is read with: the steps since the oldest of its delta channels was stored whole. */
function ancestorsOf(metadata: CheckpointMetadata): number {
  const { counters_since_delta_snapshot: counters = {} } = metadata as {
    counters_since_delta_snapshot?: Record<string, [updates: number, steps: number]> // older versions have none
  }
  return Math.max(0, ...Object.values(counters).map(([, steps]) => steps))
}

function threadOf({ configurable }: Config): { threadId: string; namespace: string } {
  const { thread_id: threadId, checkpoint_ns: namespace = '' } = configurable ?? {}
  if (typeof threadId === 'string' && threadId !== '') return { threadId, namespace }
  throw new Error('The config needs a "thread_id", a text: { configurable: { thread_id: "my-thread" } }')
}

function keyOf(config: Config): Required<CheckpointKey> {
  const id: unknown = config.configurable?.checkpoint_id
  if (typeof id === 'string' && id !== '') return { ...threadOf(config), namespace: threadOf(config).namespace, id }
  throw new Error('The config needs a "checkpoint_id" beside its "thread_id"')
}

function configOf({ threadId, namespace, id }: Pick<Stored, 'threadId' | 'namespace' | 'id'>) {
  return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: id } }
}
