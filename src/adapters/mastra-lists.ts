import type { MastraDBMessage } from '@mastra/core/memory'
import type { Message } from '../repositories/messages/types.ts'
import type { SessionSummary } from '../repositories/sessions/types.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { invalid } from './invalid.ts'
import { byTime, contentMetadataOf, resourceOf, toMastraMessage } from './mastra-messages.ts'
import { isRegular, threadOf } from './mastra-threads.ts'
import { allMessages, MAX_ITEMS } from './parts.ts'

/** A page of a list, as Mastra names it. */
export interface MastraPage {
  total: number
  page: number
  perPage: number | false
  hasMore: boolean
}

/** What a list of messages is asked for. */
export interface ListMessages {
  resourceId?: string | undefined
  include?: { id: string; threadId?: string; withPreviousMessages?: number; withNextMessages?: number }[] | undefined
  perPage?: number | false | undefined
  page?: number | undefined
  filter?:
    | {
        dateRange?: { start?: Date; end?: Date; startExclusive?: boolean; endExclusive?: boolean } | undefined
        metadata?: Record<string, unknown> | undefined
      }
    | undefined
  orderBy?: { direction?: 'ASC' | 'DESC' } | undefined
}

/** The messages of one thread that a list finds, and how many there are in all. */
interface Selection {
  messages: Message[]
  total: number
}

/**
 * Returns which items a page has.
 *
 * @throws {INVALID_INPUT} when the page or its size is no integer of 0 or more
 */
export function rangeOf(page: number, perPage: number | false): { offset: number; count: number } {
  if (!Number.isSafeInteger(page) || page < 0) throw invalid('page', 'must be an integer of 0 or more')
  if (perPage === false) return { offset: 0, count: Number.POSITIVE_INFINITY }
  if (!Number.isSafeInteger(perPage) || perPage < 0)
    throw invalid('perPage', 'must be an integer of 0 or more, or false for everything')
  if (!Number.isSafeInteger(page * perPage)) throw invalid('page', 'is too large')
  return { offset: page * perPage, count: perPage }
}

/** Returns a page of the messages of threads, with the windows around the messages of `include`. */
export async function listMessages(
  storage: Storage | StorageScope,
  threadIds: readonly string[],
  asked: ListMessages,
): Promise<MastraPage & { messages: MastraDBMessage[] }> {
  const { page = 0, perPage = 40, include = [], resourceId } = asked
  const { offset, count } = rangeOf(page, perPage)
  const sign = asked.orderBy?.direction === 'DESC' ? -1 : 1
  const inOrder = (a: Message, b: Message) => sign * byTime(a, b)
  const ids = new Set(threadIds)
  const [selections, windows] = await Promise.all([
    Promise.all(count === 0 ? [] : [...ids].map((id) => select(storage, id, asked, offset + count))),
    windowsOf(storage, include, resourceId),
  ])
  const sorted = selections.flatMap(({ messages }) => messages).sort(inOrder)
  const total = selections.reduce((sum, selection) => sum + selection.total, 0)
  // A message that is in the page and in a window is returned once.
  const chosen = [...sorted.slice(offset, offset + count), ...windows]
  const found = new Map(chosen.map((message) => [JSON.stringify([message.sessionId, message.id]), message]))
  const all = [...found.values()].sort(inOrder)
  const seen = all.filter(({ sessionId }) => ids.has(sessionId)).length
  const messages = (await storage.blobs.inline(all)).map(toMastraMessage)
  return { messages, total, page, perPage, hasMore: offset + count < total && seen < total }
}

/** Selects up to `most` messages of a thread from one end. A thread that is not regular is read as a whole. */
async function select(
  { sessions, messages }: Storage | StorageScope,
  threadId: string,
  { resourceId, filter = {}, orderBy }: ListMessages,
  most: number,
): Promise<Selection> {
  const order = orderBy?.direction === 'DESC' ? 'desc' : 'asc'
  const [session, first] = await Promise.all([
    sessions.summary(threadId),
    messages.list(threadId, { order, limit: Math.min(most, MAX_ITEMS) }),
  ])
  if (session === undefined) return { messages: [], total: 0 }
  const thread = threadOf(session)
  const isOfOne = isRegular(session) && thread !== undefined
  if (isOfOne && resourceId !== undefined && thread.resourceId !== resourceId) return { messages: [], total: 0 }
  const isWhole = (isOfOne || (isRegular(session) && resourceId === undefined)) && !filter.dateRange && !filter.metadata
  const found = [...first.items]
  for (let cursor = first.nextCursor; cursor !== undefined && (found.length < most || !isWhole); ) {
    const next = await messages.list(threadId, { order, limit: MAX_ITEMS, cursor })
    found.push(...next.items)
    cursor = next.nextCursor
  }
  if (isWhole) return { messages: found, total: session.messageCount }
  const kept = found.filter((message) => isOfResource(message, session, resourceId) && matches(message, filter))
  return { messages: kept, total: kept.length }
}

/** Returns the messages around those that are named. */
async function windowsOf(
  storage: Storage | StorageScope,
  include: NonNullable<ListMessages['include']>,
  resourceId: string | undefined,
): Promise<Message[]> {
  const unplaced = include.filter(({ threadId }) => threadId === undefined).map(({ id }) => id)
  const found = unplaced.length === 0 ? [] : await storage.messages.find([...new Set(unplaced)])
  const places = new Map(found.map(({ id, sessionId }) => [id, sessionId]))
  const windows = include.map(async ({ id, threadId = places.get(id), ...size }) =>
    threadId === undefined ? [] : windowOf(storage, { threadId, id, resourceId }, size),
  )
  return (await Promise.all(windows)).flat()
}

async function windowOf(
  { sessions, messages }: Storage | StorageScope,
  { threadId, id, resourceId }: { threadId: string; id: string; resourceId: string | undefined },
  { withPreviousMessages: before = 0, withNextMessages: after = 0 },
): Promise<Message[]> {
  const [session, window] = await Promise.all([
    sessions.summary(threadId),
    messages.around(threadId, id, { before: Math.min(before, MAX_ITEMS), after: Math.min(after, MAX_ITEMS) }),
  ])
  const target = window.find((message) => message.id === id)
  if (session === undefined || target === undefined || !isOfResource(target, session, resourceId)) return []
  // Without a thread nobody has noted of whom the messages are.
  const isOfOne = resourceId === undefined || threadOf(session) !== undefined
  if (isRegular(session) && isOfOne && Math.max(before, after) <= MAX_ITEMS) return window
  const all = (await allMessages(messages, threadId)).filter((message) => isOfResource(message, session, resourceId))
  const place = all.sort(byTime).findIndex((message) => message.id === id)
  return all.slice(Math.max(0, place - before), place + after + 1)
}

/** Returns true if a message is of a resource. A message without one of its own is of that of its thread. */
function isOfResource(message: Message, session: SessionSummary, resourceId: string | undefined): boolean {
  return resourceId === undefined || (resourceOf(message) ?? threadOf(session)?.resourceId) === resourceId
}

function matches(message: Message, { dateRange = {}, metadata = {} }: NonNullable<ListMessages['filter']>): boolean {
  const time = message.createdAt.getTime()
  const start = dateRange.start === undefined ? Number.NEGATIVE_INFINITY : new Date(dateRange.start).getTime()
  const end = dateRange.end === undefined ? Number.POSITIVE_INFINITY : new Date(dateRange.end).getTime()
  if (dateRange.startExclusive ? time <= start : time < start) return false
  if (dateRange.endExclusive ? time >= end : time > end) return false
  const stored = contentMetadataOf(message)
  return Object.entries(metadata).every(([key, value]) => Object.hasOwn(stored, key) && stored[key] === value)
}
