import type { StorageThreadType } from '@mastra/core/memory'
import { isStorageError, StorageError } from '../errors.ts'
import type { Kv } from '../repositories/kv/kv.ts'
import type { SessionSummary } from '../repositories/sessions/types.ts'
import type { JsonObject } from '../schema/values.ts'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { invalid, isStorable } from './invalid.ts'
import { itemsOf } from './parts.ts'
import { setWithSession } from './session-entry.ts'
import { decode, encodeLoosely, isPlainObject } from './tagged-json.ts'

/** The property of a session's metadata for the fields of a thread that a session does not have. Also the first label in `kv`. */
export const MASTRA = 'mastra'
/**
 * The property of a session's metadata that is true if the messages are not in the order of their times, or if a message has
 * another resource than the thread. A page of such a thread reads all of its messages.
 */
const IRREGULAR = 'mastraIrregular'
/**
 * The property of a forked session's metadata that is the session's own id once the index has the thread. A new fork has a copy
 * of its source's metadata, so the property is missing or has another id.
 */
const LISTED = 'mastraListed'
/**
 * The property of a session's metadata for the last activity, in milliseconds, before the thread was last changed. A later
 * activity is that of a message. `updatedAt` of the session does not tell: any change of the session raises it.
 */
const ACTIVE = 'mastraActiveAt'
const MAX_TITLE = 1000
/** Maximum length of a resource's id in bytes: a key of `kv` holds the id of a thread as well. */
const MAX_RESOURCE_BYTES = 750
/** Maximum number of attempts to save a thread that other calls create or remove meanwhile. */
const MAX_ATTEMPTS = 10

/** The fields of a thread that can be changed. */
export interface ThreadChanges {
  title?: string | undefined
  metadata?: Record<string, unknown> | undefined
  resourceId?: string | undefined
}

/**
 * Checks the id of a resource.
 *
 * @throws {INVALID_INPUT} when it is no text that both databases store, is empty, or has more than 750 bytes
 */
export function checkResourceId(id: unknown, path = 'resourceId'): asserts id is string {
  const isText = typeof id === 'string' && id !== '' && isStorable(id)
  if (isText && Buffer.byteLength(id) <= MAX_RESOURCE_BYTES) return
  throw invalid(path, `must be text of 1 to ${MAX_RESOURCE_BYTES} bytes, well-formed and without NUL`)
}

/** Returns the thread that a session holds, or undefined if it holds none. */
export function threadOf(session: SessionSummary | undefined): StorageThreadType | undefined {
  const stored = session?.metadata[MASTRA]
  if (session === undefined || !isPlainObject(stored)) return undefined
  const { updatedAt, ...fields } = decode(stored) as Omit<StorageThreadType, 'id'> // written by `storedAs`
  const active = session.lastActiveAt.getTime()
  const isOfMessage = active > Math.max(session.createdAt.getTime(), Number(session.metadata[ACTIVE] ?? 0))
  const isLater = isOfMessage && active > updatedAt.getTime()
  const title = session.title === null ? {} : { title: session.title }
  return { id: session.id, ...title, ...fields, updatedAt: isLater ? session.lastActiveAt : updatedAt }
}

/** Returns true if the messages of a thread are in the order of their times, and all have the thread's resource. */
export function isRegular(session: SessionSummary): boolean {
  return session.metadata[IRREGULAR] !== true
}

/** The change of a session's metadata that removes the mark `IRREGULAR`. */
export const REGULAR = { [IRREGULAR]: undefined }

/** Returns the property that marks a session as irregular, or no property. */
export function irregularIf(isIrregular: boolean): JsonObject {
  return isIrregular ? { [IRREGULAR]: true } : {}
}

/** Returns true if the index lacks the thread of a forked session: a fork copies no entries of `kv`. */
function isUnlisted({ id, parentId, metadata }: SessionSummary): boolean {
  return parentId !== null && metadata[LISTED] !== id
}

/** Returns the title and the metadata of the session that stores a thread. */
function storedAs({ id: _, title, ...fields }: StorageThreadType): { title: string | null; [MASTRA]: JsonObject } {
  const isSessionTitle = title !== undefined && title.length <= MAX_TITLE && isStorable(title)
  const further = isSessionTitle || title === undefined ? fields : { title, ...fields }
  const encoded = encodeLoosely(further) as JsonObject // it returns an object for an object
  return { title: isSessionTitle ? title : null, [MASTRA]: encoded }
}

/** The threads of a storage or a scope. A thread is a session, and an index in `kv` has the threads of each resource. */
export class Threads {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  /** Returns a thread, or undefined if there is none. */
  async get(id: string): Promise<StorageThreadType | undefined> {
    return threadOf(await this.#storage.sessions.summary(id))
  }

  /** Creates a thread, or replaces a thread except for its messages. */
  async save(thread: StorageThreadType): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.create(thread)
        return
      } catch (error) {
        if (!isStorageError(error, 'ALREADY_EXISTS') || attempt === MAX_ATTEMPTS) throw error
      }
      if (await this.#storage.transaction((tx) => replaceThread(tx, thread))) return
    }
  }

  /** Creates a thread, with `marks` in the metadata of its session. Then runs `body` in the same transaction. */
  create(
    thread: StorageThreadType,
    marks: JsonObject = {},
    body?: (tx: StorageTransaction) => Promise<unknown>,
  ): Promise<void> {
    const { title, ...stored } = storedAs(thread)
    return this.#storage.transaction(async (tx) => {
      await tx.sessions.create({ id: thread.id, title, metadata: { ...stored, ...marks } })
      await addToIndex(tx, thread)
      await body?.(tx)
    })
  }

  /**
   * Locks a thread and changes it, then runs `body` in the same transaction. Returns the thread as it is afterwards. If `change`
   * returns undefined, nothing is written and `body` is not run.
   *
   * @throws {NOT_FOUND} when there is no such thread
   */
  change(
    id: string,
    change: (thread: StorageThreadType, session: SessionSummary) => ThreadChanges | undefined,
    body?: (tx: StorageTransaction) => Promise<unknown>,
  ): Promise<StorageThreadType> {
    return this.#storage.transaction(async (tx) => {
      const session = await tx.lockSession(id)
      const thread = threadOf(session)
      if (session === undefined || thread === undefined)
        throw new StorageError('NOT_FOUND', 'There is no such thread', { details: { id } })
      const changes = change(thread, session)
      if (changes === undefined) return thread
      const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
      const changed: StorageThreadType = { ...thread, ...given, updatedAt: new Date() }
      await writeThread(tx, changed, session)
      await body?.(tx)
      return changed
    })
  }

  /** Removes a thread with everything that belongs to it. */
  async delete(id: string): Promise<void> {
    await this.#storage.transaction(async (tx) => {
      const thread = threadOf(await tx.lockSession(id))
      await tx.sessions.delete(id)
      await statesOf(tx, id).clear() // a state that was written before the thread is not removed with the session
      if (thread !== undefined) await indexOf(tx, thread.resourceId).delete(id)
    })
  }

  /** Returns the ids of a resource's threads with their times of creation. One round trip for each 1000. */
  async idsOf(resourceId: string): Promise<{ id: string; createdAt: Date }[]> {
    const index = indexOf(this.#storage, resourceId)
    const entries = await itemsOf((page) => index.entries<string>(page))
    return entries.map(({ key, value }) => ({ id: key, createdAt: new Date(value) }))
  }

  /**
   * Returns the threads with these ids that exist. Removes the others from the index of the resource: another part of the
   * program, or retention, has removed them.
   */
  async getMany(resourceId: string, ids: readonly string[]): Promise<StorageThreadType[]> {
    const found = await Promise.all(ids.map((id) => this.get(id)))
    const gone = ids.filter((_, i) => found[i] === undefined)
    if (gone.length > 0) await this.#removeFromIndex(resourceId, gone.slice(0, 1000))
    return found.filter((thread) => thread !== undefined)
  }

  /**
   * Removes threads from the index of a resource, unless they exist again. The transaction is serializable, so that PostgreSQL
   * refuses to remove an entry that was written since.
   */
  #removeFromIndex(resourceId: string, ids: readonly string[]): Promise<void> {
    return this.#storage.transaction(
      async (tx) => {
        const sessions = await Promise.all(ids.map((id) => tx.lockSession(id)))
        const gone = ids.filter((_, i) => threadOf(sessions[i]) === undefined)
        if (gone.length > 0) await indexOf(tx, resourceId).deleteMany(gone)
      },
      { isolation: 'serializable' },
    )
  }

  /** Returns all threads. One round trip for each 1000 sessions. */
  async all(): Promise<StorageThreadType[]> {
    const { sessions } = this.#storage
    const found = await itemsOf((page) => sessions.list({ orderBy: 'createdAt', ...page }))
    return found.map(threadOf).filter((thread) => thread !== undefined)
  }

  /** Removes all threads, and everything else of Mastra in `kv`. */
  async clear(): Promise<void> {
    for (const { id } of await this.all()) await this.#storage.sessions.delete(id)
    await this.#storage.kv.namespace(MASTRA).clear()
  }
}

/** Returns the states of a thread: an entry for each type. */
export function statesOf({ kv }: { readonly kv: Kv }, threadId: string): Kv {
  return kv.namespace(MASTRA, 'states', threadId)
}

/** Returns the index of a resource's threads. It has an entry for each thread, with the time of its creation. */
function indexOf({ kv }: { readonly kv: Kv }, resourceId: string): Kv {
  checkResourceId(resourceId)
  return kv.namespace(MASTRA, 'threads', resourceId)
}

/** Adds a thread to the index of its resource. */
function addToIndex(tx: StorageTransaction, { id, resourceId, createdAt }: StorageThreadType): Promise<void> {
  return setWithSession(indexOf(tx, resourceId), id, createdAt.toISOString(), { sessionId: id })
}

/** Adds the thread of a session to the index of its resource, if another part of the program has forked it. Safe to repeat. */
export async function addForkToIndex(storage: Storage | StorageScope, session: SessionSummary): Promise<void> {
  if (threadOf(session) === undefined || !isUnlisted(session)) return
  await storage.transaction(async (tx) => {
    const locked = await tx.lockSession(session.id) // the session may have been given away or removed meanwhile
    const thread = threadOf(locked)
    if (locked === undefined || thread === undefined || !isUnlisted(locked)) return
    await addToIndex(tx, thread)
    await tx.sessions.mergeMetadata(thread.id, { [LISTED]: thread.id })
  })
}

/** Replaces a thread. Returns false if its session no longer exists. */
async function replaceThread(tx: StorageTransaction, thread: StorageThreadType): Promise<boolean> {
  const session = await tx.lockSession(thread.id)
  if (session === undefined) return false
  await writeThread(tx, thread, session)
  return true
}

async function writeThread(tx: StorageTransaction, thread: StorageThreadType, session: SessionSummary): Promise<void> {
  const before = threadOf(session)
  const { title, ...stored } = storedAs(thread)
  const isMoved = before?.resourceId !== thread.resourceId
  const isNew = isUnlisted(session)
  const marks = {
    ...irregularIf(isMoved && session.messageCount > 0),
    ...(isNew && { [LISTED]: thread.id }),
    [ACTIVE]: session.lastActiveAt.getTime(),
  }
  await tx.sessions.update(thread.id, { title, metadata: { ...session.metadata, ...stored, ...marks } })
  if (!isNew && !isMoved && before.createdAt.getTime() === thread.createdAt.getTime()) return
  if (before !== undefined && isMoved) await indexOf(tx, before.resourceId).delete(thread.id)
  await addToIndex(tx, thread)
}
