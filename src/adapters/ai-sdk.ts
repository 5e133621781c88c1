import { isDeepStrictEqual } from 'node:util'
import type { UIMessage } from 'ai'
import { isStorageError, StorageError } from '../errors.ts'
import type { KvEntry } from '../repositories/kv/types.ts'
import type { Message, MessageInput, MessagePut } from '../repositories/messages/types.ts'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { checkStorage, invalid } from './invalid.ts'
import { allMessages, MAX_ITEMS, partsOf } from './parts.ts'
import { fromUIMessage, toUIMessage, type UIMessageLike } from './ui-messages.ts'

export { fromUIMessage, toUIMessage, type UIMessageLike } from './ui-messages.ts'

/** Options of `chatStore()`. */
export interface ChatStoreOptions {
  /** How long the id of an active stream is kept, in seconds: more than 0. Default 86,400, a day. */
  streamTtlSeconds?: number | undefined
}

/** Options of `ChatStore.save()`. */
export interface SaveChatOptions<UI extends UIMessage = UIMessage> {
  /**
   * The messages as this program has last loaded or saved them. They say what the program has seen: messages of it that the
   * list lacks are removed, and only what differs is sent. Default: nothing is removed.
   */
  base?: readonly UI[] | undefined
}

/**
 * Returns a store of the AI SDK's chats in a storage or a scope. A chat is a session, and a `UIMessage` a message of it, so
 * that everything else of the storage works with them: search, retention, erasure.
 *
 * @example
 * ```ts
 * import { chatStore } from 'holdfast/ai-sdk'
 * const chats = chatStore(storage)
 * await chats.save('chat', [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }])
 * console.log((await chats.load('chat')).length) // 1
 * ```
 */
export function chatStore<UI extends UIMessage = UIMessage>(
  storage: Storage | StorageScope,
  options: ChatStoreOptions = {},
): ChatStore<UI> {
  return new ChatStore<UI>(storage, options)
}

/** The chats of the AI SDK. Made by `chatStore()`. */
export class ChatStore<UI extends UIMessage = UIMessage> {
  readonly #storage: Storage | StorageScope
  readonly #streamTtlSeconds: number

  /** @internal */
  constructor(storage: Storage | StorageScope, { streamTtlSeconds = 86_400 }: ChatStoreOptions) {
    checkStorage(storage, 'messages')
    this.#storage = storage
    this.#streamTtlSeconds = streamTtlSeconds
  }

  /** Returns the messages of a chat, the oldest first, or an empty list if there is no such chat. */
  async load(chatId: string): Promise<UI[]> {
    const { messages, blobs } = this.#storage
    const stored = await blobs.inline(await allMessages(messages, chatId))
    return stored.map((message) => toUIMessage<UI>(message))
  }

  /**
   * Saves a chat, and creates it if needed: afterwards its messages are those of the list, in this order. With `base` the
   * list may lack messages of it, as after a regenerated answer; they are removed. Nothing that others have done since is
   * undone: then nothing changes at all, and the call rejects. Atomic. Safe to repeat.
   *
   * @throws {VERSION_CONFLICT} when the chat has messages that neither the list nor `base` has, or a message that is to be
   *   changed or removed is no longer as in `base`: load the chat again
   * @throws {INVALID_INPUT} when a message has no id, or cannot be stored
   */
  async save(chatId: string, messages: readonly UI[], { base }: SaveChatOptions<UI> = {}): Promise<void> {
    refuseInvalid('messages', messages)
    if (base !== undefined) refuseInvalid('options.base', base)
    try {
      await (base === undefined ? this.#saveAll(chatId, messages) : this.#saveChanges(chatId, messages, base))
    } catch (error) {
      const isConflict = isStorageError(error, 'VERSION_CONFLICT') || isStorageError(error, 'ALREADY_EXISTS')
      // A repeat finds the chat as it has saved it.
      if (!isConflict || !areEqual(await this.load(chatId), messages)) throw error
    }
  }

  /** Removes a chat with everything that belongs to it. Returns true if it existed. Safe to repeat. */
  async delete(chatId: string): Promise<boolean> {
    const [existed] = await Promise.all([
      this.#storage.sessions.delete(chatId),
      this.#storage.kv.delete(streamKey(chatId)),
    ])
    return existed
  }

  /** Notes the id of the stream that is being written to a chat, so that a client can resume it. Safe to repeat. */
  async setActiveStream(chatId: string, streamId: string): Promise<void> {
    await this.#storage.kv.set(streamKey(chatId), streamId, { ttlSeconds: this.#streamTtlSeconds })
  }

  /** Returns the id of the stream that is being written to a chat, or undefined if there is none. Not cached. */
  async activeStream(chatId: string): Promise<string | undefined> {
    return (await this.#streamEntry(chatId))?.value ?? undefined
  }

  /**
   * Notes that the stream of a chat has ended. With `streamId` only if it is still the active one, so that a stream that
   * ends late does not end its successor. Returns true if it was the active one. Safe to repeat.
   */
  async clearActiveStream(chatId: string, streamId?: string): Promise<boolean> {
    const { kv } = this.#storage
    const key = streamKey(chatId)
    if (streamId === undefined) return kv.delete(key)
    const entry = await this.#streamEntry(chatId)
    if (entry?.value !== streamId) return false
    try {
      // A value that is about to expire, since a removal has no `ifVersion`.
      await kv.set(key, null, { ifVersion: entry.version, ttlSeconds: 1 })
      return true
    } catch (error) {
      if (isStorageError(error, 'VERSION_CONFLICT')) return false
      throw error
    }
  }

  /** Returns the entry of the active stream. A list is not cached: it also has what another process has just written. */
  async #streamEntry(chatId: string): Promise<KvEntry<string | null> | undefined> {
    const key = streamKey(chatId)
    const { items } = await this.#storage.kv.entries<string | null>({ prefix: key, limit: 1 })
    return items.find((entry) => entry.key === key)
  }

  /** Saves a list without knowing what its program has seen: removes nothing. */
  async #saveAll(chatId: string, messages: readonly UI[]): Promise<void> {
    await this.#storage.transaction(async (tx) => {
      // Others wait, so that what the list lacks stays what it is.
      const before = await tx.lockSession(chatId)
      const stored: Message[] = []
      for (const part of partsOf(messages.map(fromUIMessage))) stored.push(...(await tx.messages.put(chatId, part)))
      const { lastSeq = 0, messageCount = 0 } = before ?? {}
      const known = stored.filter(({ seq }) => seq <= lastSeq).length
      // A session that cannot be locked because it is new begins with the first message of the list.
      const isAlone = before !== undefined || stored.every(({ seq }, i) => seq === i + 1)
      if (known < messageCount || !isAlone) throw conflict(chatId, known, messageCount)
      const start = firstMisplaced(stored.map(({ seq }) => seq))
      if (start < stored.length)
        await replaceEnd(tx, chatId, { afterSeq: stored[start - 1]?.seq ?? 0 }, stored.slice(start).map(inputOf))
    })
  }

  /** Saves what differs from the messages that the program has seen. */
  async #saveChanges(chatId: string, messages: readonly UI[], base: readonly UI[]): Promise<void> {
    const split = base.findIndex(({ id }, i) => messages[i]?.id !== id)
    const start = split < 0 ? base.length : split
    const changed = messages.slice(0, start).filter((message, i) => !isEqual(message, base[i]))
    const end = messages.slice(start).map(fromUIMessage)
    if (start === base.length && changed.length === 0 && end.length <= MAX_ITEMS) {
      if (end.length > 0) await this.#append(chatId, end, base)
      return
    }
    const seen = new Map(base.map((message) => [message.id, message]))
    const ids = new Set([...changed, ...base.slice(Math.max(start - 1, 0)), ...base.slice(-1)].map(({ id }) => id))
    await this.#storage.transaction(async (tx) => {
      const before = await tx.lockSession(chatId)
      if ((before?.messageCount ?? 0) !== base.length) throw conflict(chatId, base.length, before?.messageCount)
      const stored = new Map<string, Message>()
      for (const part of partsOf([...ids])) {
        for (const message of await tx.messages.getMany(chatId, part)) stored.set(message.id, message)
      }
      const isKept = (id: string) => base[start - 1]?.id === id && !changed.some((message) => message.id === id)
      for (const id of ids) {
        const message = stored.get(id)
        if (message === undefined || !(isKept(id) || (await isStored(tx, message, seen.get(id)))))
          throw conflict(chatId, base.length, before?.messageCount)
      }
      for (const part of partsOf(changed.map(fromUIMessage))) await tx.messages.put(chatId, part)
      const seqOf = (message: UI | undefined) => (message && stored.get(message.id)?.seq) ?? 0
      const range = { afterSeq: seqOf(base[start - 1]), expectLastSeq: seqOf(base.at(-1)) }
      const times = (message: MessagePut) => ({ ...message, createdAt: stored.get(message.id)?.createdAt })
      await replaceEnd(tx, chatId, range, end.map(times))
    })
  }

  /** Appends messages if nobody else has appended any. */
  async #append(chatId: string, messages: readonly MessagePut[], base: readonly UI[]): Promise<void> {
    const last = base.at(-1)
    const stored = last && (await this.#storage.messages.get(chatId, last.id))
    if (last && stored === undefined) throw conflict(chatId, base.length, undefined)
    const seq = stored?.seq ?? 0
    await this.#storage.messages.replace(chatId, { afterSeq: seq, expectLastSeq: seq }, messages)
  }
}

/** Replaces the end of a session, in as many calls as it takes. */
async function replaceEnd(
  tx: StorageTransaction,
  chatId: string,
  range: { afterSeq: number; expectLastSeq?: number },
  messages: readonly MessageInput[],
): Promise<void> {
  const [first = [], ...others] = [...partsOf(messages)]
  await tx.messages.replace(chatId, range, first)
  for (const part of others) await tx.messages.append(chatId, part)
}

/** Returns the index of the first number that a smaller one follows, or the length of the list if they rise. */
function firstMisplaced(seqs: readonly number[]): number {
  let start = seqs.length
  for (let i = seqs.length - 1, least = Number.POSITIVE_INFINITY; i >= 0; i--) {
    const seq = seqs[i] ?? 0
    if (seq > least) start = i
    else least = seq
  }
  return start
}

function inputOf({ id, role, content, metadata, createdAt }: Message): MessageInput {
  return { id, role, content, metadata, createdAt }
}

function areEqual(some: readonly UIMessage[], others: readonly UIMessage[]): boolean {
  return some.length === others.length && some.every((message, i) => isEqual(message, others[i]))
}

/** Returns true if both messages are stored as the same. */
function isEqual(message: UIMessageLike, other: UIMessageLike | undefined): boolean {
  return other !== undefined && isDeepStrictEqual(fromUIMessage(message), fromUIMessage(other))
}

/** Returns true if a message is stored as the other, with its data or with the names of the blobs that its data became. */
async function isStored(
  { blobs }: StorageTransaction,
  message: Message,
  other: UIMessageLike | undefined,
): Promise<boolean> {
  return isEqual(toUIMessage(message), other) || isEqual(toUIMessage(await blobs.inline(message)), other)
}

function streamKey(chatId: string): string {
  return `ai-sdk/active-stream/${chatId}`
}

function conflict(id: string, expected: number, actual: number | undefined): StorageError {
  const message = 'The chat has changed since it was loaded: load it again. `base` says which messages may be removed'
  return new StorageError('VERSION_CONFLICT', message, { details: { id, expected, actual } })
}

/**
 * Refuses what is no list of messages, messages with the id of another, and messages with an empty id: the AI SDK gives a
 * response one unless it is told how to make ids.
 *
 * @throws {INVALID_INPUT} when the list or a message is not valid
 */
function refuseInvalid(path: string, messages: readonly unknown[]): void {
  if (!Array.isArray(messages)) throw invalid(path, 'must be a list of messages')
  const index = messages.findIndex((message) => typeof message?.id !== 'string' || !Array.isArray(message.parts))
  if (index >= 0) throw invalid(`${path}.${index}`, 'must be a UIMessage, with an id and a list of parts')
  const empty = messages.findIndex(({ id }) => id === '')
  if (empty >= 0) throw invalid(`${path}.${empty}.id`, 'must not be empty: pass `generateMessageId` to the AI SDK')
  const ids = new Set<string>()
  for (const [i, { id }] of messages.entries()) {
    if (ids.has(id)) throw invalid(`${path}.${i}.id`, 'is the id of an earlier message')
    ids.add(id)
  }
}
