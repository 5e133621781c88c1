import type { SessionSummary, Storage } from '../index.ts'
import { eventAt, eventFilters } from './event-at.ts'
import { searchHits } from './hits.ts'
import type { Parameters } from './parameters.ts'
import { Refusal } from './responses.ts'
import { forksOf, moreForksOf } from './session-forks.ts'
import { shortenedPage } from './shortened.ts'

/** Answers a request with JSON. */
export type Route = (storage: Storage, given: Parameters) => Promise<unknown>

/** Returns the repositories as the owner of a request sees them, or as everybody does. */
function scopeOf(storage: Storage, given: Parameters) {
  const ownerId = given.text('owner')
  return ownerId === undefined ? storage : storage.scope({ ownerId })
}

/** Returns what was found, or answers that it does not exist. */
function existing<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Refusal(404, 'NOT_FOUND', `This ${what} does not exist, or does not any more`)
  return value
}

async function sessionOf(storage: Storage, given: Parameters): Promise<SessionSummary> {
  return existing(await scopeOf(storage, given).sessions.summary(given.required('id')), 'session')
}

/** How long one request may count messages. */
const MOST_COUNTING_MILLIS = 30_000

/** Every GET of JSON, by its path. Ids are parameters, never parts of a path. */
export const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['health', (storage) => storage.health()],
  ['stats', (storage) => storage.stats()],
  ['configuration', async ({ config }) => config],
  [
    'days',
    (storage, given) => {
      const timeoutMillis = given.count('timeoutMillis', MOST_COUNTING_MILLIS)
      return scopeOf(storage, given).messages.countByDay({ timeoutMillis })
    },
  ],
  [
    'cache',
    async (storage) => {
      const { hits, negativeHits, misses, bypasses } = (await storage.stats()).cache
      return { hits, negativeHits, misses, bypasses }
    },
  ],
  [
    'sessions',
    async (storage, given) => {
      const orderBy = given.choice('orderBy', ['lastActiveAt', 'createdAt'])
      return shortenedPage(await scopeOf(storage, given).sessions.list({ ...given.page, orderBy }))
    },
  ],
  ['session', (storage, given) => sessionOf(storage, given)],
  ['session/forks', async (storage, given) => forksOf(storage, await sessionOf(storage, given))],
  [
    'session/more-forks',
    async (storage, given) => moreForksOf(storage, await sessionOf(storage, given), given.text('cursor') ?? ''),
  ],
  [
    'messages',
    async (storage, given) => {
      const { messages } = scopeOf(storage, given)
      const { limit } = given.page
      const range = { limit, after: given.count('after'), before: given.count('before') }
      const order = given.choice('order', ['asc', 'desc'])
      return shortenedPage(await messages.list(given.required('session'), { ...range, order }))
    },
  ],
  [
    'messages/around',
    async (storage, given) => {
      const { messages } = scopeOf(storage, given)
      const items = await messages.around(given.required('session'), given.required('id'), { before: 8, after: 20 })
      if (items.length === 0) existing(undefined, 'message')
      return shortenedPage({ items })
    },
  ],
  [
    'message',
    async (storage, given) => {
      const { messages } = scopeOf(storage, given)
      return existing(await messages.get(given.required('session'), given.required('id')), 'message')
    },
  ],
  ['search', (storage, given) => searchHits(scopeOf(storage, given), given)],
  [
    'memories',
    async (storage, given) => {
      const tag = given.text('tag')
      const tags = tag === undefined ? undefined : [tag]
      return shortenedPage(await scopeOf(storage, given).memories.list({ ...given.page, tags }))
    },
  ],
  ['memory', async ({ memories }, given) => existing(await memories.get(given.required('id')), 'memory')],
  [
    'events',
    async (storage, given) => {
      const order = given.choice('order', ['asc', 'desc'])
      return shortenedPage(await scopeOf(storage, given).events.list({ ...given.page, ...eventFilters(given), order }))
    },
  ],
  [
    'event',
    async (storage, given) => {
      const seq = Number(given.required('seq'))
      return existing(await eventAt(scopeOf(storage, given).events, given, seq), 'event')
    },
  ],
  [
    'queues',
    async (storage, given) =>
      scopeOf(storage, given).queues.listQueues({ ...given.page, sessionId: given.text('session') }),
  ],
  [
    'queue/items',
    async (storage, given) => {
      const { queues } = scopeOf(storage, given)
      const items = await queues.list(given.required('session'), given.required('queue'), given.page)
      return given.text('whole') === undefined ? shortenedPage(items) : items
    },
  ],
  [
    'approvals',
    async (storage, given) => {
      const { approvals } = scopeOf(storage, given)
      const sessionId = given.text('session')
      const status = given.choice('status', ['pending', 'responded'])
      return shortenedPage(await approvals.list({ ...given.page, sessionId, status }))
    },
  ],
  [
    'approval',
    async (storage, given) => existing(await scopeOf(storage, given).approvals.get(given.required('id')), 'approval'),
  ],
  [
    'executions',
    async (storage, given) => {
      const status = given.choice('status', ['running', 'completed', 'failed', 'cancelled'])
      const { toolExecutions } = scopeOf(storage, given)
      return shortenedPage(await toolExecutions.list({ ...given.page, status, runId: given.text('run') }))
    },
  ],
  [
    'execution',
    async (storage, given) =>
      existing(await scopeOf(storage, given).toolExecutions.get(given.required('id')), 'execution'),
  ],
  [
    'blobs',
    async (storage, given) =>
      shortenedPage(await scopeOf(storage, given).blobs.list({ ...given.page, source: given.text('source') })),
  ],
  ['blob', async ({ blobs }, given) => existing(await blobs.get(given.required('id')), 'blob')],
])
