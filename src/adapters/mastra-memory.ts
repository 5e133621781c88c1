import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { MastraDBMessage, StorageThreadType } from '@mastra/core/memory'
import { MemoryStorage, type StorageCloneThreadInput, type StorageResourceType } from '@mastra/core/storage'
import { StorageError } from '../errors.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { checkStorage, invalid } from './invalid.ts'
import { type ListMessages, listMessages, type MastraPage, rangeOf } from './mastra-lists.ts'
import { byTime, fromMastraMessage, resourceOf, toMastraMessage } from './mastra-messages.ts'
import { Resources } from './mastra-resources.ts'
import { checkResourceId, irregularIf, isRegular, REGULAR, type ThreadChanges, Threads } from './mastra-threads.ts'
import { deleteMessages, findMessages, type MessageChanges, saveMessages, updateMessages } from './mastra-writes.ts'
import { allMessages, partsOf } from './parts.ts'
import { decode, encodeLoosely } from './tagged-json.ts'

/** What newer versions of Mastra's class have, and the oldest supported one lacks. */
interface Newer {
  readonly supportsPartialThreadUpdate?: boolean
  updateThreadMetadata(change: {
    id: string
    resourceId?: string
    update: (thread: StorageThreadType) => Record<string, unknown> | undefined
  }): Promise<StorageThreadType | null>
  updateThreadResourceId(change: { threadId: string; resourceId: string }): Promise<StorageThreadType>
}

// The cast lets one source override methods of all supported versions.
const Base = MemoryStorage as abstract new () => MemoryStorage & Newer

/**
 * The domain `memory` of Mastra over a storage or a scope: threads, messages, resources and working memory. A thread is a
 * session, and each message of it a message, so that everything else of the storage works with them: search, retention, erasure.
 *
 * @example
 * ```ts
 * import { HoldfastMemory } from 'holdfast/mastra'
 * const memory = new HoldfastMemory(storage) // new MastraCompositeStore({ id, default: others, domains: { memory } })
 * await memory.updateResource({ resourceId: 'ada', workingMemory: '# Ada\n- likes window seats' })
 * console.log((await memory.getResourceById({ resourceId: 'ada' }))?.metadata) // {}
 * ```
 */
export class HoldfastMemory extends Base {
  override readonly supportsPartialThreadUpdate = true
  readonly #storage: Storage | StorageScope
  readonly #threads: Threads
  readonly #resources: Resources

  constructor(storage: Storage | StorageScope) {
    super()
    checkStorage(storage, 'messages')
    this.#storage = storage
    this.#threads = new Threads(storage)
    this.#resources = new Resources(storage)
  }

  /** Returns a thread, or null if there is none, or it is of another resource than the one that is given. */
  async getThreadById({
    threadId,
    resourceId,
  }: {
    threadId: string
    resourceId?: string
  }): Promise<StorageThreadType | null> {
    const thread = await this.#threads.get(threadId)
    return thread === undefined || (resourceId !== undefined && thread.resourceId !== resourceId) ? null : thread
  }

  /**
   * Creates a thread, or replaces title, resource, metadata and times of one that exists. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when a field is not valid.
   */
  async saveThread({ thread }: { thread: StorageThreadType }): Promise<StorageThreadType> {
    checkResourceId(thread.resourceId, 'thread.resourceId')
    const now = new Date()
    const [createdAt, updatedAt] = [new Date(thread.createdAt ?? now), new Date(thread.updatedAt ?? now)]
    if (Number.isNaN(createdAt.getTime()) || Number.isNaN(updatedAt.getTime()))
      throw invalid('thread', 'must have valid times of creation and change')
    const saved = { ...thread, createdAt, updatedAt }
    await this.#threads.save(saved)
    return saved
  }

  /**
   * Changes the title of a thread, merges properties into its metadata, or does both, under a lock: concurrent changes lose
   * nothing. What is left out stays. Safe to repeat.
   *
   * @throws {NOT_FOUND} when there is no such thread.
   */
  async updateThread({ id, title, metadata }: { id: string } & ThreadChanges): Promise<StorageThreadType> {
    return this.#threads.change(id, (thread) => ({
      title,
      metadata: metadata === undefined ? undefined : { ...thread.metadata, ...metadata },
    }))
  }

  /**
   * Reads the metadata of a thread, and merges what `update` makes of it, under one lock: processes that do so at once wait for
   * each other. Returns the thread, or null if there is none.
   */
  override async updateThreadMetadata({
    id,
    resourceId,
    update,
  }: Parameters<Newer['updateThreadMetadata']>[0]): Promise<StorageThreadType | null> {
    if ((await this.getThreadById({ threadId: id, resourceId })) === null) return null
    let isOther = false
    const thread = await this.#threads.change(id, (found) => {
      // Others may have given it away before the lock.
      isOther = resourceId !== undefined && found.resourceId !== resourceId
      const metadata = isOther ? undefined : update(found)
      return metadata && { metadata: { ...found.metadata, ...metadata } }
    })
    return isOther ? null : thread
  }

  /**
   * Gives a thread with its messages to another resource, in one transaction. Safe to repeat.
   *
   * @throws {NOT_FOUND} when there is no such thread.
   */
  override async updateThreadResourceId({
    threadId,
    resourceId,
  }: {
    threadId: string
    resourceId: string
  }): Promise<StorageThreadType> {
    let wasRegular = false
    return this.#threads.change(
      threadId,
      (thread, session) => {
        wasRegular = isRegular(session)
        return thread.resourceId === resourceId ? undefined : { resourceId }
      },
      async (tx) => {
        const others = (await allMessages(tx.messages, threadId)).filter((message) => {
          const own = resourceOf(message)
          return own !== undefined && own !== resourceId
        })
        for (const part of partsOf(others)) {
          const given = (await tx.blobs.inline(part)).map((message) => ({ ...toMastraMessage(message), resourceId }))
          await tx.messages.put(threadId, given.map(fromMastraMessage))
        }
        if (wasRegular) await tx.sessions.mergeMetadata(threadId, REGULAR)
      },
    )
  }

  /** Removes a thread with its messages and everything else that belongs to the session. Safe to repeat. */
  async deleteThread({ threadId }: { threadId: string }): Promise<void> {
    await this.#threads.delete(threadId)
  }

  /** Returns a page of the threads that have all of the given properties in their metadata, the newest first. */
  async listThreads(args: {
    page?: number
    perPage?: number | false
    orderBy?: { field?: 'createdAt' | 'updatedAt'; direction?: 'ASC' | 'DESC' }
    filter?: { resourceId?: string; metadata?: Record<string, unknown> }
  }): Promise<MastraPage & { threads: StorageThreadType[] }> {
    const { page = 0, perPage = 100, orderBy, filter } = args
    const { offset, count } = rangeOf(page, perPage)
    const { resourceId, metadata = {} } = filter ?? {}
    const field = orderBy?.field === 'updatedAt' ? 'updatedAt' : 'createdAt'
    const sign = orderBy?.direction === 'ASC' ? 1 : -1
    const conditions = Object.entries(metadata)
    const pageOf = <T extends { id: string; createdAt: Date; updatedAt?: Date }>(all: T[]) => {
      const timeOf = (item: T) => (item[field] ?? item.createdAt).getTime()
      all.sort((a, b) => sign * (timeOf(a) - timeOf(b)) || (a.id < b.id ? -1 : 1))
      return all.slice(offset, offset + count)
    }
    const known = resourceId === undefined ? [] : await this.#threads.idsOf(resourceId)
    if (resourceId !== undefined && field === 'createdAt' && conditions.length === 0) {
      const ids = pageOf(known).map(({ id }) => id)
      const threads = await this.#threads.getMany(resourceId, ids)
      if (threads.length < ids.length) return this.listThreads(args) // some were removed by others: the index knows it now
      return { threads, total: known.length, page, perPage, hasMore: offset + count < known.length }
    }
    const ids = known.map(({ id }) => id)
    const all = resourceId === undefined ? await this.#threads.all() : await this.#threads.getMany(resourceId, ids)
    const matching = all.filter((thread) =>
      conditions.every(
        ([key, value]) => Object.hasOwn(thread.metadata ?? {}, key) && isSame(thread.metadata?.[key], value),
      ),
    )
    const threads = pageOf(matching)
    return { threads, total: matching.length, page, perPage, hasMore: offset + count < matching.length }
  }

  /**
   * Returns a page of the messages of one or several threads, the oldest first unless `orderBy` says otherwise, with the
   * messages around those of `include`.
   *
   * @throws {INVALID_INPUT} when no thread is given, or an argument is not valid.
   */
  async listMessages(
    args: ListMessages & { threadId: string | string[] },
  ): Promise<MastraPage & { messages: MastraDBMessage[] }> {
    const ids = [args.threadId].flat()
    if (ids.length === 0 || ids.some((id) => typeof id !== 'string' || id.trim() === ''))
      throw invalid('threadId', 'must be the id of a thread, or a list of such ids')
    return listMessages(this.#storage, ids, args)
  }

  /** Returns a page of the messages of a resource, those of all its threads. */
  override async listMessagesByResourceId(
    args: ListMessages & { resourceId: string },
  ): Promise<MastraPage & { messages: MastraDBMessage[] }> {
    const threads = await this.#threads.idsOf(args.resourceId)
    return listMessages(
      this.#storage,
      threads.map(({ id }) => id),
      args,
    )
  }

  /** Returns messages by their ids, whatever their thread. An id that names no message is left out. */
  async listMessagesById({ messageIds }: { messageIds: string[] }): Promise<{ messages: MastraDBMessage[] }> {
    const found = await this.#storage.blobs.inline(await findMessages(this.#storage, messageIds))
    return { messages: found.map(toMastraMessage).sort(byTime) }
  }

  /**
   * Stores messages by their ids, each in its thread: appends those that the thread does not have, and replaces those that say
   * something else. All or none. Safe to repeat.
   *
   * @throws {INVALID_INPUT} when a message has no id or thread, or cannot be stored.
   */
  async saveMessages({ messages }: { messages: MastraDBMessage[] }): Promise<{ messages: MastraDBMessage[] }> {
    await saveMessages(this.#storage, messages)
    return { messages }
  }

  /**
   * Changes messages by their ids, in one transaction and under a lock, and returns them. Content is merged into the stored
   * content, and so is its metadata. Ids that name no message are left out. Safe to repeat.
   */
  async updateMessages({ messages }: { messages: MessageChanges[] }): Promise<MastraDBMessage[]> {
    return updateMessages(this.#storage, messages)
  }

  /** Removes messages by their ids, whatever their thread. Safe to repeat. */
  override async deleteMessages(messageIds: string[]): Promise<void> {
    await deleteMessages(this.#storage, messageIds)
  }

  /**
   * Copies a thread with its messages, or some of them, into a new thread, in one transaction. The copies have new ids. Returns
   * the thread, the copies, and the new id for each old one. Safe to repeat with a `newThreadId`: the repeat fails.
   *
   * @throws {NOT_FOUND} when there is no such thread.
   * @throws {ALREADY_EXISTS} when there is a thread with the new id.
   */
  override async cloneThread({
    sourceThreadId,
    newThreadId = randomUUID(),
    resourceId,
    title,
    metadata,
    options = {},
  }: StorageCloneThreadInput) {
    const source = await this.#threads.get(sourceThreadId)
    if (source === undefined)
      throw new StorageError('NOT_FOUND', 'There is no such thread', { details: { id: sourceThreadId } })
    const { messageIds = [], startDate, endDate } = options.messageFilter ?? {}
    const all = await this.#storage.blobs.inline(await allMessages(this.#storage.messages, sourceThreadId))
    const matching = all.sort(byTime).filter(({ id, createdAt }) => {
      const isNamed = messageIds.length === 0 || messageIds.includes(id)
      return isNamed && !(startDate && createdAt < startDate) && !(endDate && createdAt > endDate)
    })
    const selected = options.messageLimit ? matching.slice(-options.messageLimit) : matching
    const now = new Date()
    const last = selected.at(-1)
    const clone = { sourceThreadId, clonedAt: now, ...(last && { lastMessageId: last.id }) }
    const ofClone = title || (source.title ? `Clone of ${source.title}` : undefined)
    const thread: StorageThreadType = {
      id: newThreadId,
      resourceId: resourceId || source.resourceId,
      ...(ofClone !== undefined && { title: ofClone }),
      metadata: { ...metadata, clone },
      createdAt: now,
      updatedAt: now,
    }
    const given = resourceId ? { resourceId } : {}
    const copies = selected.map((message) => ({
      ...toMastraMessage(message),
      ...given,
      id: randomUUID() as string,
      threadId: newThreadId,
    }))
    const isIrregular = copies.some((copy) => (copy.resourceId ?? thread.resourceId) !== thread.resourceId)
    await this.#threads.create(thread, irregularIf(isIrregular), async (tx) => {
      for (const part of partsOf(copies)) await tx.messages.put(newThreadId, part.map(fromMastraMessage))
    })
    const messageIdMap = Object.fromEntries(selected.map(({ id }, i) => [id, copies[i]?.id ?? id]))
    return { thread, clonedMessages: copies, messageIdMap }
  }

  /** Returns a resource with its working memory, or null if nothing is stored of it. Not cached. */
  override async getResourceById({ resourceId }: { resourceId: string }): Promise<StorageResourceType | null> {
    return this.#resources.get(resourceId)
  }

  /** Stores a resource in place of what is stored of it. Safe to repeat. */
  override async saveResource({ resource }: { resource: StorageResourceType }): Promise<StorageResourceType> {
    return this.#resources.save(resource)
  }

  /**
   * Changes the working memory of a resource, merges properties into its metadata, or does both, and creates the resource if
   * needed. Concurrent changes lose nothing. Safe to repeat.
   */
  override async updateResource({
    resourceId,
    workingMemory,
    metadata,
  }: {
    resourceId: string
    workingMemory?: string
    metadata?: Record<string, unknown>
  }): Promise<StorageResourceType> {
    return this.#resources.update(resourceId, { workingMemory, metadata })
  }

  /** Removes all threads, messages and resources of the storage, or of the scope. Safe to repeat. */
  async dangerouslyClearAll(): Promise<void> {
    await this.#threads.clear()
  }
}

/** Returns true if both values are stored as the same. */
function isSame(some: unknown, other: unknown): boolean {
  return isDeepStrictEqual(decode(encodeLoosely(some)), decode(encodeLoosely(other)))
}
