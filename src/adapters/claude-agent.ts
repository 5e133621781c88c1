import { createHash } from 'node:crypto'
import type { SessionKey, SessionStore, SessionStoreEntry, SessionSummaryEntry } from '@anthropic-ai/claude-agent-sdk'
import type { KvEntry } from '../repositories/kv/types.ts'
import type { Message } from '../repositories/messages/types.ts'
import type { Json, JsonObject } from '../schema/values.ts'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { fromEntry, toEntry } from './claude-entries.ts'
import { checkStorage, invalid } from './invalid.ts'
import { allMessages, itemsOf, partsOf } from './parts.ts'
import { setWithSession } from './session-entry.ts'

/** Adds lines to the summary of their session, as `foldSessionSummary` of the SDK does. */
export type FoldSessionSummary = (
  previous: SessionSummaryEntry | undefined,
  key: SessionKey,
  entries: SessionStoreEntry[],
) => SessionSummaryEntry

/** Options of `HoldfastSessionStore`. */
export interface HoldfastSessionStoreOptions {
  /**
   * `foldSessionSummary` of the SDK. With it the store keeps a summary of each session, so that a list of sessions reads no
   * transcript. Default: none is kept.
   */
  foldSessionSummary?: FoldSessionSummary | undefined
}

/** What the index has of a transcript. */
type Indexed = { sessionId: string; subpath?: string; data?: JsonObject }

const MAX_ID_BYTES = 255

/**
 * A session store of the Claude Agent SDK over a storage or a scope: transcripts that survive the machine. Each transcript is a
 * session, and each line a message of it, so that everything else of the storage works with them.
 *
 * @example
 * ```ts
 * import { HoldfastSessionStore } from 'holdfast/claude-agent'
 * const sessionStore = new HoldfastSessionStore(storage) // query({ prompt, options: { sessionStore } })
 * await sessionStore.append({ projectKey: 'trips', sessionId: 's1' }, [{ type: 'user', uuid: 'u1' }])
 * console.log(await sessionStore.load({ projectKey: 'trips', sessionId: 's1' })) // [ { type: 'user', uuid: 'u1' } ]
 * ```
 */
export class HoldfastSessionStore implements SessionStore {
  /** Returns the summaries of a project's sessions. Defined if the store was given `foldSessionSummary`. */
  readonly listSessionSummaries?: (projectKey: string) => Promise<SessionSummaryEntry[]>
  readonly #storage: Storage | StorageScope
  readonly #fold: FoldSessionSummary | undefined

  constructor(storage: Storage | StorageScope, { foldSessionSummary: fold }: HoldfastSessionStoreOptions = {}) {
    checkStorage(storage, 'messages')
    this.#storage = storage
    this.#fold = fold
    if (fold) this.listSessionSummaries = (projectKey) => this.#summaries(projectKey)
  }

  /**
   * Appends lines, all or none, and creates the transcript if needed. A line with a `uuid` that the transcript has is left out,
   * so that lines with uuids are safe to repeat; lines without are appended again.
   *
   * @throws {INVALID_INPUT} when the key or a line is not valid
   */
  async append(key: SessionKey, entries: SessionStoreEntry[]): Promise<void> {
    const { id, indexKey } = placeOf(key)
    const isFirst = firstUses(entries)
    const given = entries.filter((_, i) => isFirst[i])
    if (given.length === 0) return
    const messages = given.map((entry) => ({ ...fromEntry(entry), ...(entry.uuid ? { id: shortId(entry.uuid) } : {}) }))
    await this.#storage.transaction(async (tx) => {
      // Summaries are read and written again: others who append wait until then.
      const before = this.#fold && (await tx.lockSession(id))
      const stored: Message[] = []
      for (const part of partsOf(messages)) stored.push(...(await tx.messages.append(id, part)))
      const { sessionId, subpath } = key
      const indexed: Indexed = subpath === undefined ? { sessionId } : { sessionId, subpath }
      if (this.#fold && subpath === undefined) {
        const data = (await tx.kv.get<Indexed>(indexKey))?.data
        // Lines that a store without summaries has appended are in no summary yet. Others may have begun the session meanwhile.
        const isWhole = before === undefined ? data !== undefined || (stored[0]?.seq ?? 1) > 1 : data === undefined
        const added = isWhole
          ? linesOf(await messagesOf(tx, id))
          : given.filter((_, i) => (stored[i]?.seq ?? 0) > (before?.lastSeq ?? 0))
        const summary = this.#fold(isWhole ? undefined : data && { sessionId, mtime: 0, data }, key, added)
        indexed.data = summary.data as JsonObject // the SDK's own state, which is JSON
      }
      await setWithSession(tx.kv, indexKey, indexed, { sessionId: id })
    })
  }

  /** Returns the lines of a transcript in their order, or null if there is none. */
  async load(key: SessionKey): Promise<SessionStoreEntry[] | null> {
    const messages = await messagesOf(this.#storage, placeOf(key).id)
    return messages.length === 0 ? null : linesOf(messages)
  }

  /** Returns the ids of a project's sessions, with the times of their last appends. */
  async listSessions(projectKey: string): Promise<{ sessionId: string; mtime: number }[]> {
    const entries = await this.#index(prefixOf('session', projectKey))
    return entries.map(({ value, updatedAt }) => ({ sessionId: value.sessionId, mtime: updatedAt.getTime() }))
  }

  /** Removes a session with the transcripts of its subagents, or the one transcript of a subpath. Safe to repeat. */
  async delete(key: SessionKey): Promise<void> {
    const { id, indexKey } = placeOf(key)
    const { projectKey, sessionId, subpath } = key
    const below = subpath === undefined ? await this.#index(prefixOf('subkey', projectKey, sessionId)) : []
    const ids = below.map(({ value }) => placeOf({ projectKey, sessionId, subpath: value.subpath ?? '' }).id)
    await this.#storage.transaction(async (tx) => {
      for (const each of [id, ...ids]) await tx.sessions.delete(each)
      // An entry that goes with a session was removed with it, or is of a session that others have begun meanwhile.
      const entries = [await tx.kv.getEntry<Indexed>(indexKey), ...below]
      const left = entries.flatMap((entry) => (entry?.sessionId === null ? [entry.key] : []))
      for (const part of partsOf(left)) await tx.kv.deleteMany(part)
    })
  }

  /** Returns the subpaths of a session's transcripts, such as those of subagents. */
  async listSubkeys({ projectKey, sessionId }: { projectKey: string; sessionId: string }): Promise<string[]> {
    const entries = await this.#index(prefixOf('subkey', projectKey, sessionId))
    return entries.map(({ value }) => value.subpath ?? '')
  }

  async #summaries(projectKey: string): Promise<SessionSummaryEntry[]> {
    const entries = await this.#index(prefixOf('session', projectKey))
    return entries.flatMap(({ value: { sessionId, data }, updatedAt }) =>
      data === undefined ? [] : [{ sessionId, mtime: updatedAt.getTime(), data }],
    )
  }

  #index(prefix: string): Promise<KvEntry<Indexed>[]> {
    return itemsOf((page) => this.#storage.kv.entries<Indexed>({ prefix, ...page }))
  }
}

/**
 * Returns the session that holds a transcript, and the key of its entry in the index.
 *
 * @throws {INVALID_INPUT} when a part of the key is missing or empty
 */
function placeOf({ projectKey, sessionId, subpath }: SessionKey): { id: string; indexKey: string } {
  for (const [path, value] of Object.entries({ projectKey, sessionId, subpath: subpath ?? 'main' })) {
    if (typeof value !== 'string' || value === '') throw invalid(`key.${path}`, 'must be a text that is not empty')
  }
  const parts = [projectKey, sessionId, ...(subpath === undefined ? [] : [subpath])].map(partOf)
  const last = parts.at(-1) ?? ''
  const kind = subpath === undefined ? 'session' : 'subkey'
  return {
    id: shortId(parts.join('/')),
    indexKey: `${prefixOf(kind, projectKey, ...(subpath === undefined ? [] : [sessionId]))}${last}`,
  }
}

/** Returns the messages of a session in their order, with the data that became blobs. */
async function messagesOf(storage: Storage | StorageScope | StorageTransaction, id: string): Promise<Message[]> {
  return storage.blobs.inline(await allMessages(storage.messages, id))
}

/** Returns the lines that messages were made of, without messages of other parts of the program. */
function linesOf(messages: readonly Message[]): SessionStoreEntry[] {
  return messages.map(toEntry).filter((entry) => entry !== undefined)
}

/** Returns what the keys of index entries begin with. */
function prefixOf(kind: 'session' | 'subkey', ...parts: string[]): string {
  return `claude-agent/${[kind, ...parts.map(partOf)].join('/')}/`
}

/** Returns a part of a key without the character that separates parts. */
function partOf(text: string): string {
  return shortId(text.replaceAll('%', '%25').replaceAll('/', '%2F'))
}

/** Returns a text if it can be an id, or else its hash. */
function shortId(text: string): string {
  if (Buffer.byteLength(text) <= MAX_ID_BYTES && !text.includes('\0') && text.isWellFormed()) return text
  return `sha256-${createHash('sha256').update(text, 'utf16le').digest('hex')}`
}

/** Returns for each line false if a line before it has its uuid. */
function firstUses(entries: readonly SessionStoreEntry[]): boolean[] {
  const seen = new Set<Json>()
  return entries.map(({ uuid }) => {
    if (!uuid) return true
    const isFirst = !seen.has(uuid)
    seen.add(uuid)
    return isFirst
  })
}
