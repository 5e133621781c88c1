import type { Db } from '../../database/db.ts'
import { isNullRefused } from '../../database/null-refused.ts'
import type { Page } from '../../database/paging/page.ts'
import { batch } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { JsonObject } from '../../schema/values.ts'
import { idSchema, invalidInput, parseInput } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { orderedId } from '../ordered-id.ts'
import { listCheckpoints, readCheckpoints } from './reads.ts'
import {
  deleteOfThread,
  deleteOldCheckpoints,
  deleteThreadAtOnce,
  deleteUnusedValues,
  deleteUnusedWrites,
  hasCheckpoints,
  insertValues,
  insertWrites,
  lockUnusedValues,
  lockValues,
  upsertCheckpoint,
} from './statements.ts'
import {
  type Checkpoint,
  type CheckpointInput,
  type CheckpointKey,
  type CheckpointTask,
  type CheckpointThread,
  type CheckpointWriteInput,
  inputSchema,
  keySchema,
  type ListCheckpointsOptions,
  listOptionsSchema,
  type PruneCheckpointsOptions,
  pruneOptionsSchema,
  taskSchema,
  threadSchema,
  writesSchema,
} from './types.ts'

/**
 * Snapshots of runs, so that a run goes on after an interruption. A thread is a line of checkpoints, each with its parent.
 * What a checkpoint holds is bytes: the program decides on their format.
 */
export class Checkpoints {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Stores a checkpoint with its new values, and returns its id. Replaces a checkpoint with this id. One round trip. Safe to
   * repeat if the id is given.
   *
   * @throws {INVALID_STATE} when a channel has another value at that version; nothing was stored
   * @throws {INVALID_INPUT} when the checkpoint is not valid
   *
   * @example
   * ```ts
   * const data = new TextEncoder().encode('{"step":1}')
   * const id = await storage.checkpoints.put({ threadId: 'trip', type: 'json', data, metadata: { step: 1 } })
   * console.log((await storage.checkpoints.latest({ threadId: 'trip' }))?.id === id) // true
   * ```
   */
  async put<Metadata extends object = JsonObject>(checkpoint: CheckpointInput<Metadata>): Promise<string> {
    const given = parseInput(inputSchema, checkpoint, 'checkpoint')
    const {
      threadId,
      namespace = '',
      parentId = null,
      metadata = {},
      versions = {},
      values = {},
      ancestors = 0,
    } = given
    const createdAt = this.#context.now()
    const { id = orderedId(createdAt), type, data } = given
    // In one order, so that two puts lock the values they share in one order and cannot deadlock.
    const rows = Object.entries(values)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([channel, value]) => ({ threadId, namespace, channel, version: versionOf(channel, versions), ...value }))
    const row = { threadId, namespace, id, parentId, metadata, versions, ancestors, createdAt, type, data }
    try {
      await batch(this.#db, [...insertValues.with(rows), upsertCheckpoint.with(row)])
    } catch (error) {
      if (!isNullRefused(error)) throw error
      const message = 'A channel has another value at this version: give each value that differs a version of its own'
      throw new StorageError('INVALID_STATE', message, { cause: error })
    }
    return id
  }

  /**
   * Returns the newest checkpoint of a thread, or undefined if it has none. One round trip.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the thread is not valid
   *
   * @example
   * ```ts
   * const checkpoint = await storage.checkpoints.latest({ threadId: 'trip' })
   * if (checkpoint) console.log(new TextDecoder().decode(checkpoint.data))
   * ```
   */
  latest<Metadata extends object = JsonObject>(thread: CheckpointThread): Promise<Checkpoint<Metadata> | undefined>
  async latest(thread: CheckpointThread): Promise<Checkpoint | undefined> {
    const { threadId, namespace = '' } = parseInput(threadSchema, thread, 'thread')
    return (await readCheckpoints(this.#db, { threadId, namespace }, 1))[0]
  }

  /**
   * Returns a checkpoint, or undefined if it does not exist. One round trip.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the key is not valid
   *
   * @example
   * ```ts
   * const checkpoint = await storage.checkpoints.get({ threadId: 'trip', id: '1' })
   * console.log(checkpoint) // undefined
   * ```
   */
  get<Metadata extends object = JsonObject>(key: CheckpointKey): Promise<Checkpoint<Metadata> | undefined>
  async get(key: CheckpointKey): Promise<Checkpoint | undefined> {
    const { threadId, namespace = '', id } = parseInput(keySchema, key, 'key')
    return (await readCheckpoints(this.#db, { threadId, namespace, id }, 1))[0]
  }

  /**
   * Returns a page of checkpoints, the greatest id first. One round trip.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid
   *
   * @example
   * ```ts
   * const { items } = await storage.checkpoints.list({ threadId: 'trip', metadata: { step: 1 }, limit: 10 })
   * for (const { id, parentId } of items) console.log(id, parentId)
   * ```
   */
  list<Metadata extends object = JsonObject>(
    options?: ListCheckpointsOptions<Metadata>,
  ): Promise<Page<Checkpoint<Metadata>>>
  async list(options: ListCheckpointsOptions = {}): Promise<Page<Checkpoint>> {
    const { limit, cursor, ...filters } = parseInput(listOptionsSchema, options, 'options')
    return listCheckpoints(this.#db, filters, { limit, cursor })
  }

  /**
   * Stores up to 1000 writes of a task that runs after a checkpoint, so that the task does not run again if the others of its
   * step fail. The checkpoint may be stored later. A write that is stored already stays as it is; one with a negative index
   * is replaced. One round trip. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the task or a write is not valid
   *
   * @example
   * ```ts
   * const task = { threadId: 'trip', id: '1', taskId: 'search' }
   * await storage.checkpoints.putWrites(task, [{ channel: 'trains', type: 'text', data: new TextEncoder().encode('R41') }])
   * ```
   */
  async putWrites(task: CheckpointTask, writes: readonly CheckpointWriteInput[]): Promise<void> {
    const { threadId, namespace = '', id, taskId, taskPath = '' } = parseInput(taskSchema, task, 'task')
    const given = parseInput(writesSchema, writes, 'writes')
    // The last of those with one index counts, in every database: PostgreSQL refuses a statement that changes a row twice.
    const rows = new Map(
      given.map(({ index, channel, type, data }, i) => {
        const at = index ?? i
        return [
          at,
          { threadId, namespace, checkpointId: id, taskId, taskPath, index: at, channel, type, data },
        ] as const
      }),
    )
    const inOrder = [...rows.values()].sort((a, b) => a.index - b.index)
    if (inOrder.length > 0) await batch(this.#db, insertWrites.with(inOrder))
  }

  /**
   * Removes a thread: its checkpoints of all namespaces, with their values and writes. Returns true if it had checkpoints. One
   * round trip. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id is not valid
   *
   * @example
   * ```ts
   * console.log(await storage.checkpoints.deleteThread('trip')) // false
   * ```
   */
  async deleteThread(threadId: string): Promise<boolean> {
    const arg = { threadId: parseInput(idSchema, threadId, 'threadId') }
    if (this.#db.dialect === 'postgres') {
      const [, removed] = await batch(this.#db, [lockValues.with(arg), deleteThreadAtOnce.with(arg)])
      return removed.length > 0
    }
    const deletes = deleteOfThread.map((statement) => statement.with(arg))
    const [found] = await batch(this.#db, [hasCheckpoints.with(arg), ...deletes])
    return found !== undefined && found.length > 0
  }

  /**
   * Removes the older checkpoints of a thread, and the values and writes that only they had. In each namespace the newest
   * `keepLast` stay, and the ancestors that are needed to read them. Returns the number of checkpoints removed. A run that
   * starts from an older checkpoint meanwhile would lose it. One round trip. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id or an option is not valid
   *
   * @example
   * ```ts
   * console.log(await storage.checkpoints.prune('trip', { keepLast: 10 })) // 0
   * ```
   */
  async prune(threadId: string, options: PruneCheckpointsOptions): Promise<number> {
    const arg = { threadId: parseInput(idSchema, threadId, 'threadId') }
    const { keepLast } = parseInput(pruneOptionsSchema, options, 'options')
    const [removed] = await batch(this.#db, [
      deleteOldCheckpoints.with({ ...arg, keepLast }),
      ...(this.#db.dialect === 'postgres' ? [lockUnusedValues.with(arg)] : []),
      deleteUnusedValues.with(arg),
      deleteUnusedWrites.with(arg),
    ])
    return removed.length
  }
}

function versionOf(channel: string, versions: Record<string, string>): string {
  const version = Object.hasOwn(versions, channel) ? versions[channel] : undefined
  if (version !== undefined) return version
  throw invalidInput([{ path: `checkpoint.values.${channel}`, message: 'has no version: name it in versions' }])
}
