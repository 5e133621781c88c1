import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type {
  AgentInputItem,
  SessionHistoryRewriteArgs,
  SessionHistoryRewriteAwareSession,
  SessionHistoryTransactionArgs,
  SessionHistoryTransactionAwareSession,
} from '@openai/agents-core'
import { isStorageError, StorageError } from '../errors.ts'
import type { Message, MessageInput } from '../repositories/messages/types.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { checkStorage, invalid } from './invalid.ts'
import { fromOpenAIItem, toOpenAIItem } from './openai-items.ts'
import { itemsOf, MAX_ITEMS, partsOf } from './parts.ts'
import { encode } from './tagged-json.ts'

export { fromOpenAIItem, toOpenAIItem } from './openai-items.ts'

/** A function call in the history, with the id of its message. */
interface Call {
  id: string
  item: Extract<AgentInputItem, { type: 'function_call' }>
}

/** An item of `addItems` as a message. */
interface Given {
  message: MessageInput
  isOfCall: boolean
}

/** A message of `addItems`, and the id that it was given. */
type Sent = Given & { id: string }

/** Maximum number of attempts to replace a suffix while others append to the history. */
const MAX_ATTEMPTS = 10

/** Options of `HoldfastSession`. */
export interface HoldfastSessionOptions {
  /** The id of the session. Default: a random UUID. The session is created with its first item. */
  sessionId?: string | undefined
}

/**
 * A session of OpenAI's Agents SDK over a storage or a scope: the history of the conversation survives the process. Each item is
 * a message of the session, so that everything else of the storage works with it. A history transaction is atomic, and is
 * applied once, however often any process repeats it.
 *
 * @example
 * ```ts
 * import { HoldfastSession } from 'holdfast/openai-agents'
 * const session = new HoldfastSession(storage, { sessionId: 'chat' })
 * await session.addItems([{ role: 'user', content: 'Hello' }])
 * console.log(await session.getItems()) // [ { role: 'user', content: 'Hello' } ]
 * ```
 */
export class HoldfastSession implements SessionHistoryRewriteAwareSession, SessionHistoryTransactionAwareSession {
  readonly #storage: Storage | StorageScope
  readonly #id: string
  /** The messages of each `addItems` that has lost its connection. They may have been stored. */
  #unconfirmed: Sent[][] = []

  constructor(storage: Storage | StorageScope, { sessionId = randomUUID() }: HoldfastSessionOptions = {}) {
    checkStorage(storage, 'messages')
    this.#storage = storage
    this.#id = sessionId
  }

  /** Returns the id of the session. */
  async getSessionId(): Promise<string> {
    return this.#id
  }

  /** Returns the items, or the newest `limit` of them, the oldest first. */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    return this.#itemsOf(await this.#latest(limit ?? Number.POSITIVE_INFINITY))
  }

  /**
   * Appends items, all or none. After a lost connection, a repeat with the same items on this object appends nothing twice, until
   * a call with other items succeeds. The SDK repeats the call when a run goes on from its state. Not safe to repeat on another
   * object: use `applyHistoryTransaction`.
   */
  async addItems(items: AgentInputItem[]): Promise<void> {
    if (items.length === 0) return this.#append([])
    const given = items.map((item) => ({ message: fromOpenAIItem(item), isOfCall: 'callId' in item }))
    // A comparison that ignores the order of keys: a state that was stored meanwhile may have changed the order.
    const repeated = this.#unconfirmed.find((sent) => isDeepStrictEqual(messagesOf(sent), messagesOf(given)))
    const sent = repeated ?? this.#named(given)
    try {
      await this.#append(sent.map(({ message, id }) => ({ ...message, id })))
      this.#unconfirmed = this.#unconfirmed.filter((each) => repeated !== undefined && each !== repeated)
    } catch (error) {
      if (repeated === undefined && isStorageError(error, 'CONNECTION_LOST')) this.#unconfirmed.push(sent)
      throw error
    }
  }

  /** Gives items ids. The SDK may repeat a tool call among other items: its `callId` says that it is the same. */
  #named(given: readonly Given[]): Sent[] {
    let known = this.#unconfirmed.flat().filter(({ isOfCall }) => isOfCall)
    return given.map((item) => {
      const id = known.find((sent) => isDeepStrictEqual(sent.message, item.message))?.id ?? randomUUID()
      known = known.filter((sent) => sent.id !== id)
      return { ...item, id }
    })
  }

  /** Removes the newest item and returns it, or undefined if there is none. */
  async popItem(): Promise<AgentInputItem | undefined> {
    const message = await this.#storage.messages.pop(this.#id)
    return message && toOpenAIItem(await this.#storage.blobs.inline(message))
  }

  /**
   * Removes all items. The session stays, with its title, its metadata and its events: the SDK clears a session to compact it. A
   * history transaction that was applied before is not applied again. Safe to repeat.
   */
  async clearSession(): Promise<void> {
    await this.#storage.messages.clear(this.#id)
  }

  /** Replaces the whole history, for example by a summary. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    await this.#replace({ afterSeq: 0 }, items.map(fromOpenAIItem))
  }

  /** Rewrites function calls in place: replaces the first item of each call, and removes further items of the same call. */
  async applyHistoryMutations({ mutations }: SessionHistoryRewriteArgs): Promise<void> {
    if (mutations.length === 0) return
    await this.#storage.transaction(async (tx) => {
      await tx.lockSession(this.#id)
      const before: Call[] = []
      for await (const message of tx.messages.iterate(this.#id)) {
        const item = toOpenAIItem(message)
        if (item.type === 'function_call') before.push({ id: message.id, item })
      }
      const calls = new Map(mutated(before, mutations).map((call) => [call.id, call]))
      const changed = before.flatMap(({ id, item }) => {
        const call = calls.get(id)
        return call === undefined || call.item === item ? [] : [{ ...fromOpenAIItem(call.item), id }]
      })
      const removed = before.map(({ id }) => id).filter((id) => !calls.has(id))
      for (const part of partsOf(changed)) await tx.messages.put(this.#id, part)
      for (const part of partsOf(removed)) await tx.messages.delete(this.#id, part)
    })
  }

  /**
   * Changes the history once: a repeat of the operation does nothing, in any process. Safe to repeat.
   *
   * @throws {INVALID_STATE} when the history does not end with the expected suffix, or the operation id was used for another
   *   transaction; nothing was changed
   * @throws {INVALID_INPUT} when there is no operation id, the transaction is of another type, or an item cannot be stored
   */
  async applyHistoryTransaction({ operationId, transaction }: SessionHistoryTransactionArgs): Promise<void> {
    if (typeof operationId !== 'string') throw invalid('operationId', 'must be text: without it a repeat is not known')
    if (transaction?.type !== 'append_items' && transaction?.type !== 'replace_suffix')
      throw invalid('transaction.type', 'must be append_items or replace_suffix')
    const operation = { operationId, payload: encode(transaction) }
    if (transaction.type === 'append_items') {
      await this.#append(transaction.items.map(fromOpenAIItem), operation)
      return
    }
    const { expectedSuffix, replacement } = transaction
    const messages = replacement.map(fromOpenAIItem)
    for (let attempt = 1; ; attempt++) {
      const suffix = await this.#latest(Math.max(expectedSuffix.length, 1))
      const last = suffix.at(-1)?.seq ?? 0
      const isExpected =
        expectedSuffix.length === 0 ||
        isDeepStrictEqual((await this.#itemsOf(suffix)).map(encode), encode(expectedSuffix))
      if (!isExpected) return this.#refuseUnlessDone(operation)
      const afterSeq = expectedSuffix.length === 0 ? last : (suffix[0]?.seq ?? 1) - 1
      try {
        await this.#replace({ afterSeq, expectLastSeq: last }, messages, operation)
        return
      } catch (error) {
        if (!isStorageError(error, 'VERSION_CONFLICT') || attempt === MAX_ATTEMPTS) throw error
      }
    }
  }

  /** Appends messages in one transaction. */
  async #append(messages: MessageInput[], operation: { operationId?: string; payload?: unknown } = {}): Promise<void> {
    if (messages.length <= MAX_ITEMS) {
      await this.#storage.messages.append(this.#id, messages, operation)
      return
    }
    const { operationId, payload } = operation
    await this.#storage.transaction(async (tx) => {
      if (operationId !== undefined && (await tx.once(this.#id, operationId, payload)) === 'repeated') return
      for (const part of partsOf(messages)) await tx.messages.append(this.#id, part)
    })
  }

  /** Replaces the end of the history in one transaction. */
  async #replace(
    range: { afterSeq: number; expectLastSeq?: number },
    messages: MessageInput[],
    operation: { operationId?: string; payload?: unknown } = {},
  ): Promise<void> {
    const [first = [], ...others] = partsOf(messages)
    if (others.length === 0) {
      await this.#storage.messages.replace(this.#id, { ...range, ...operation }, first)
      return
    }
    const { operationId, payload } = operation
    await this.#storage.transaction(async (tx) => {
      if (operationId !== undefined && (await tx.once(this.#id, operationId, payload)) === 'repeated') return
      await tx.messages.replace(this.#id, range, first)
      for (const part of others) await tx.messages.append(this.#id, part)
    })
  }

  /** Returns the items of messages, with the data of their blobs back in place. */
  async #itemsOf(messages: Message[]): Promise<AgentInputItem[]> {
    return (await this.#storage.blobs.inline(messages)).map(toOpenAIItem)
  }

  /** Returns the newest `count` messages, the oldest first. */
  async #latest(count: number): Promise<Message[]> {
    const { messages } = this.#storage
    if (count <= MAX_ITEMS) return count < 1 ? [] : messages.latest(this.#id, Math.floor(count))
    return (await itemsOf((page) => messages.list(this.#id, { order: 'desc', ...page }), count)).reverse()
  }

  async #refuseUnlessDone({ operationId, payload }: { operationId: string; payload: unknown }): Promise<void> {
    const message = 'The history does not end with the expected suffix: read it again'
    // The error rolls the transaction back, so that `once` does not record the operation.
    await this.#storage.transaction(async (tx) => {
      if ((await tx.once(this.#id, operationId, payload)) === 'repeated') return
      throw new StorageError('INVALID_STATE', message)
    })
  }
}

function messagesOf(given: readonly Given[]): MessageInput[] {
  return given.map(({ message }) => message)
}

/** Applies mutations one after the other, as the SDK does. Returns the calls that remain. */
function mutated(before: readonly Call[], mutations: SessionHistoryRewriteArgs['mutations']): Call[] {
  let calls = [...before]
  for (const { callId, replacement } of mutations) {
    const first = calls.find(({ item }) => item.callId === callId)
    const kept = calls.filter((call) => call === first || call.item.callId !== callId)
    calls = kept.map((call) => (call === first ? { id: call.id, item: replacement } : call))
  }
  return calls
}
