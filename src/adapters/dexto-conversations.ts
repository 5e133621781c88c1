import { isStorageError } from '../errors.ts'
import type { Message, MessageInput } from '../repositories/messages/types.ts'
import type { QueueItem } from '../schema/values.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { fromFields, toFields } from './message-fields.ts'
import { allMessages, itemsOf } from './parts.ts'
import { decode, encode } from './tagged-json.ts'

/** The property of the metadata that holds what Dexto has beyond our own fields. */
export const DEXTO = 'dexto'

type OfSession = { sessionId: string }
/** A message as Dexto has it. */
type DextoMessage = { id?: string; metadata?: Record<string, unknown> }

/** Dexto's messages, as the messages of a session. */
export class ConversationStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async listMessages({ sessionId }: OfSession): Promise<DextoMessage[]> {
    const { messages, blobs } = this.#storage
    return (await blobs.inline(await allMessages(messages, sessionId))).map(toDexto)
  }

  /** Returns the messages for the model: the newest summary, the messages that it leaves as they are, and those after it. */
  async loadModelHistory(input: OfSession) {
    const all = await this.listMessages(input)
    const at = all.findLastIndex(({ metadata }) => metadata?.isSummary === true || metadata?.isSessionSummary === true)
    const summary = all[at]
    if (summary === undefined) return { messages: all, stats: statsOf(all, all, null) }
    const summarized = Number(summary.metadata?.originalMessageCount ?? at)
    const kept = all.slice(summarized >= 0 && summarized <= at ? summarized : at, at)
    const messages = [summary, ...kept, ...all.slice(at + 1)]
    return { messages, stats: statsOf(all, messages, summary.id ?? null) }
  }

  /** Appends a message. If its id is there already, the stored message stays as it is. */
  async saveMessage({ sessionId, message }: OfSession & { message: DextoMessage }): Promise<void> {
    await this.#storage.messages.append(sessionId, fromDexto(message))
  }

  /** Replaces a message, at once. Ignores a message whose id is missing or unknown, as Dexto does. */
  async updateMessage({ sessionId, message }: OfSession & { message: DextoMessage }): Promise<void> {
    const { id, ...fields } = fromDexto(message)
    if (id === undefined) return
    await this.#storage.messages.update(sessionId, id, fields).catch(ignoreNotFound)
  }

  async clearMessages({ sessionId }: OfSession): Promise<void> {
    await this.#storage.messages.clear(sessionId)
  }

  /** Does nothing: what is saved is stored. */
  async flush(_: OfSession): Promise<void> {}
}

function fromDexto({ id, ...fields }: DextoMessage): MessageInput {
  return { ...fromFields(fields, DEXTO), id }
}

function toDexto(message: Message): DextoMessage {
  return { id: message.id, ...(toFields(message, DEXTO) as object) } // an object that fromDexto was given
}

function statsOf(all: unknown[], messages: unknown[], summaryMessageId: string | null) {
  const skippedPreSummaryMessages = all.length - messages.length
  return { returnedMessages: messages.length, skippedPreSummaryMessages, summaryMessageId }
}

function ignoreNotFound(error: unknown): void {
  if (!isStorageError(error, 'NOT_FOUND')) throw error
}

/** Dexto's sessions, as the metadata of ours. */
export class SessionStore {
  readonly #storage: Storage | StorageScope

  constructor(storage: Storage | StorageScope) {
    this.#storage = storage
  }

  async listSessionIds(): Promise<string[]> {
    const { sessions } = this.#storage
    const all = await itemsOf((page) => sessions.list({ ...page, orderBy: 'createdAt' }))
    return all.filter(({ metadata }) => metadata[DEXTO] !== undefined).map(({ id }) => id)
  }

  async getSession({ sessionId }: OfSession): Promise<unknown> {
    const session = await this.#storage.sessions.get(sessionId)
    return session?.metadata[DEXTO] && decode(session.metadata[DEXTO])
  }

  /** Stores a session. Ignores `ttlSeconds`, which is for a cache of Dexto: our cache has its own setting, `cache.ttlSeconds`. */
  async saveSession({ sessionId, session }: OfSession & { session: object }): Promise<void> {
    const metadata = { [DEXTO]: encode(session) }
    const { sessions } = this.#storage
    try {
      await sessions.mergeMetadata(sessionId, metadata)
    } catch (error) {
      ignoreNotFound(error)
      // Another process may create it at this moment.
      await sessions.create({ id: sessionId, metadata }).catch((failure: unknown) => {
        if (!isStorageError(failure, 'ALREADY_EXISTS')) throw failure
        return sessions.mergeMetadata(sessionId, metadata)
      })
    }
  }

  /** Removes the session with all that belongs to it, its messages included. */
  async deleteSession({ sessionId }: OfSession): Promise<void> {
    await this.#storage.sessions.delete(sessionId)
  }

  /** Does nothing: a write of this process leaves nothing old in our cache. */
  async evictSession(_: OfSession): Promise<void> {}
}

/** Dexto's queues of a session: what the user says while the agent works. */
export class QueueStore {
  readonly #storage: Storage | StorageScope
  readonly #name: string

  constructor(storage: Storage | StorageScope, name: string) {
    this.#storage = storage
    this.#name = name
  }

  async list({ sessionId }: OfSession): Promise<unknown[]> {
    const { queues } = this.#storage
    return (await itemsOf((page) => queues.list(sessionId, this.#name, page))).map(decode)
  }

  /** Returns the place of the message in the queue, from 1. */
  async append({ sessionId, message }: OfSession & { message: object }): Promise<{ position: number }> {
    return this.#storage.queues.push(sessionId, this.#name, encode(message) as QueueItem) // a message of a queue has an id
  }

  async takeAll({ sessionId }: OfSession): Promise<unknown[]> {
    return (await this.#storage.queues.takeAll(sessionId, this.#name)).map(decode)
  }

  async remove({ sessionId, id }: OfSession & { id: string }): Promise<boolean> {
    return this.#storage.queues.remove(sessionId, this.#name, id)
  }

  async clear({ sessionId }: OfSession): Promise<void> {
    await this.#storage.queues.clear(sessionId, this.#name)
  }
}
