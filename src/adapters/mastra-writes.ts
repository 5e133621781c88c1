import { isDeepStrictEqual } from 'node:util'
import type { MastraDBMessage } from '@mastra/core/memory'
import type { Message } from '../repositories/messages/types.ts'
import type { SessionSummary } from '../repositories/sessions/types.ts'
import type { StorageTransaction } from '../storage/storage-transaction.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { invalid } from './invalid.ts'
import {
  byTime,
  fromMastraMessage,
  isOfMastra,
  type MastraPut,
  resourceOf,
  toMastraMessage,
} from './mastra-messages.ts'
import { addForkToIndex, irregularIf, isRegular, MASTRA, threadOf } from './mastra-threads.ts'
import { itemsOf, MAX_ITEMS, partsOf } from './parts.ts'

/** The changes of a message. The content is merged into the stored one, and so is the metadata of the content. The time stays. */
export type MessageChanges = Partial<Omit<MastraDBMessage, 'content' | 'createdAt'>> & { id: string; content?: object }

/** Stores messages by their ids, each in its thread. Of two messages with one id the last counts. */
export async function saveMessages(
  storage: Storage | StorageScope,
  messages: readonly MastraDBMessage[],
): Promise<void> {
  const threads = new Map<string, Map<string, MastraPut>>()
  for (const [i, message] of messages.entries()) {
    const { id, threadId } = message
    if (typeof threadId !== 'string' || threadId === '')
      throw invalid(`messages.${i}.threadId`, 'must be the id of a thread')
    const thread = threads.get(threadId) ?? new Map<string, MastraPut>()
    threads.set(threadId, thread.set(id, fromMastraMessage(message)))
  }
  const given = Array.from(threads, ([threadId, byId]) => ({ threadId, puts: [...byId.values()].sort(byTime) }))
  const [first] = given
  if (first === undefined) return
  const isOneCall = given.length === 1 && first.puts.length <= MAX_ITEMS
  const ids = first.puts.map(({ id }) => id)
  const [before, known] = await Promise.all([
    Promise.all(given.map(({ threadId, puts }) => markIrregular(storage, threadId, puts))),
    isOneCall ? storage.messages.getMany(first.threadId, ids) : [],
  ])
  const lastSeqs = new Map(given.map(({ threadId }, i) => [threadId, before[i] ?? 0]))
  const stored: Message[] = []
  if (isOneCall && known.length === 0) {
    stored.push(...(await saveNew(storage, first.threadId, first.puts)))
  } else if (isOneCall) {
    stored.push(...(await storage.messages.put(first.threadId, first.puts)))
  } else {
    // In one order, so that two saves cannot deadlock.
    given.sort((a, b) => (a.threadId < b.threadId ? -1 : 1))
    await storage.transaction(async (tx) => {
      for (const { threadId, puts } of given) {
        for (const part of partsOf(puts)) stored.push(...(await tx.messages.put(threadId, part)))
      }
    })
  }
  await Promise.all([...lastSeqs].map(([threadId, lastSeq]) => markOvertaken(storage, threadId, lastSeq, stored)))
}

/** Stores messages of one thread that were new a moment ago: one round trip if they still are. Returns them as stored. */
async function saveNew({ messages }: Storage | StorageScope, threadId: string, puts: MastraPut[]): Promise<Message[]> {
  const stored = await messages.append(threadId, puts)
  const changed = puts.filter(({ role, content, metadata }, i) => {
    const theirs = stored[i]
    return !isDeepStrictEqual([role, content, metadata], [theirs?.role, theirs?.content, theirs?.metadata])
  })
  if (changed.length > 0) await messages.put(threadId, changed)
  return stored
}

/** How many of the newest messages a save looks at. A save that failed in between is noticed if it had fewer messages. */
const RECENT = 4

/**
 * Marks a thread if its messages are no longer in the order of their times, or of one resource, once these are stored. Returns
 * the seq of its newest message.
 */
async function markIrregular(
  storage: Storage | StorageScope,
  threadId: string,
  puts: readonly MastraPut[],
): Promise<number> {
  const { sessions, messages } = storage
  const [session, newest] = await Promise.all([sessions.summary(threadId), messages.latest(threadId, RECENT)])
  const last = newest.at(-1)
  const lastSeq = last?.seq ?? 0
  if (session !== undefined) await addForkToIndex(storage, session)
  if (session === undefined || !isRegular(session)) return lastSeq
  const late = puts.filter((put) => last !== undefined && put.createdAt !== undefined && put.createdAt < last.createdAt)
  // A call that has failed after it stored its messages, or died, has marked nothing.
  let hasLate = newest.some((message, i) => message.createdAt < (newest[i - 1]?.createdAt ?? message.createdAt))
  for (const part of partsOf(late)) {
    const known = await messages.getMany(
      threadId,
      part.map(({ id }) => id),
    )
    hasLate ||= known.length < part.length
  }
  if (hasLate || puts.some((put) => isForeign(put, session))) await sessions.mergeMetadata(threadId, irregularIf(true))
  return lastSeq
}

/** Marks a thread if a later message of another call came in before these, after `markIrregular` had looked. */
async function markOvertaken(
  { sessions, messages }: Storage | StorageScope,
  threadId: string,
  lastSeq: number,
  stored: readonly Message[],
): Promise<void> {
  const own = stored.filter((message) => message.sessionId === threadId && message.seq > lastSeq)
  const [first] = own
  if (first === undefined || first.seq === lastSeq + 1) return
  const earliest = Math.min(...own.map(({ createdAt }) => createdAt.getTime()))
  const range = { after: lastSeq, before: first.seq }
  const between = await itemsOf((page) => messages.list(threadId, { ...range, ...page }))
  if (between.every(({ createdAt }) => createdAt.getTime() <= earliest)) return
  await sessions.mergeMetadata(threadId, irregularIf(true))
}

/** Returns true if a message has another resource than its thread. */
function isForeign(put: MastraPut, session: SessionSummary): boolean {
  const [own, ofThread] = [resourceOf(put), threadOf(session)?.resourceId]
  return own !== undefined && ofThread !== undefined && own !== ofThread
}

/** Changes messages by their ids, in one transaction, and returns them. Ids that name no message are left out. */
export async function updateMessages(
  storage: Storage | StorageScope,
  changes: readonly MessageChanges[],
): Promise<MastraDBMessage[]> {
  const places = await placesOf(
    storage,
    changes.map(({ id }) => id),
  )
  const threads = [...new Set([...places.values(), ...changes.flatMap(({ threadId = [] }) => threadId)])].sort()
  return storage.transaction(async (tx) => {
    const sessions = new Map<string, SessionSummary | undefined>()
    for (const id of threads) sessions.set(id, await tx.lockSession(id))
    const updated: MastraDBMessage[] = []
    for (const change of changes) {
      const from = places.get(change.id)
      const [stored] = from === undefined ? [] : await tx.messages.getMany(from, [change.id])
      if (from === undefined || stored === undefined) continue
      const given = merged(toMastraMessage(await tx.blobs.inline(stored)), change)
      const message = { ...given, createdAt: stored.createdAt }
      const to = message.threadId ?? from
      if (to !== from) await tx.messages.delete(from, [change.id])
      await markMoved(tx, sessions.get(to), { message, isMoved: to !== from })
      await tx.messages.put(to, [fromMastraMessage(message)])
      // The first message has created the session: a second one may be older.
      if (sessions.get(to) === undefined) sessions.set(to, await tx.lockSession(to))
      places.set(change.id, to)
      updated.push(message)
    }
    return updated
  })
}

/** Marks the thread that a message is moved into, or that a message of another resource is in. */
async function markMoved(
  tx: StorageTransaction,
  session: SessionSummary | undefined,
  { message, isMoved }: { message: MastraDBMessage; isMoved: boolean },
): Promise<void> {
  if (session === undefined || !(isMoved || isForeign(fromMastraMessage(message), session))) return
  await tx.sessions.mergeMetadata(session.id, irregularIf(true))
}

function merged(message: MastraDBMessage, { content, ...changes }: MessageChanges): MastraDBMessage {
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  const before: unknown = message.content
  if (content === undefined) return { ...message, ...given }
  const old = typeof before === 'object' && before !== null ? (before as MastraDBMessage['content']) : undefined
  const metadata = { ...old?.metadata, ...('metadata' in content ? (content.metadata as object) : {}) }
  const all = { ...old, ...content, ...(Object.keys(metadata).length === 0 ? {} : { metadata }) }
  return { ...message, ...given, content: all as MastraDBMessage['content'] } // a part of a content over a content
}

/** Removes messages by their ids, wherever they are. */
export async function deleteMessages(storage: Storage | StorageScope, ids: readonly string[]): Promise<void> {
  const threads = new Map<string, string[]>()
  for (const [id, threadId] of await placesOf(storage, ids)) {
    threads.set(threadId, [...(threads.get(threadId) ?? []), id])
  }
  const given = [...threads].sort(([a], [b]) => (a < b ? -1 : 1))
  const [first] = given
  if (first === undefined) return
  if (given.length === 1 && first[1].length <= MAX_ITEMS) {
    await storage.messages.delete(...first)
    return
  }
  await storage.transaction(async (tx) => {
    for (const [threadId, some] of given) {
      for (const part of partsOf(some)) await tx.messages.delete(threadId, part)
    }
  })
}

/** Returns the messages of Mastra that have the ids, in the order of the ids. */
export async function findMessages(storage: Storage | StorageScope, ids: readonly string[]): Promise<Message[]> {
  const found: Message[] = []
  for (const part of partsOf([...new Set(ids)])) found.push(...(await storage.messages.find(part)))
  const others = new Set(found.filter((message) => !isOfMastra(message)).map(({ sessionId }) => sessionId))
  for (const id of others) {
    // What another part of the program has appended to a thread is a message of the thread.
    if ((await storage.sessions.get(id))?.metadata[MASTRA] !== undefined) others.delete(id)
  }
  return found.filter((message) => isOfMastra(message) || !others.has(message.sessionId))
}

/** Returns the thread of each message. */
async function placesOf(storage: Storage | StorageScope, ids: readonly string[]): Promise<Map<string, string>> {
  return new Map((await findMessages(storage, ids)).map(({ id, sessionId }) => [id, sessionId]))
}
