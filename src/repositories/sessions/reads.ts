import * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { type Page, type PageOptions, pageSchema } from '../../database/paging/page.ts'
import type { JsonObject } from '../../schema/values.ts'
import { idSchema, parseInput } from '../../validation/input.ts'
import type { RepositoryContext } from '../context.ts'
import { searchSessions } from '../search/sessions.ts'
import type { SearchPage, SearchSessionsOptions, SessionHit } from '../search/types.ts'
import { listForks, listSummaries, selectSession, selectSummary } from './statements.ts'
import type { ListSessionsOptions, Session, SessionSummary } from './types.ts'

const listOptionsSchema = z.strictObject({
  ownerId: z.optional(idSchema),
  orderBy: z.optional(z.enum(['lastActiveAt', 'createdAt'])),
  ...pageSchema.shape,
})

/** The reads of `Sessions`. */
export class SessionReads {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /**
   * Returns a session, or undefined if there is none. Cached.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ id: 'chat', title: 'Trip to Oslo' })
   * console.log((await storage.sessions.get('chat'))?.title) // Trip to Oslo
   * ```
   */
  get<Metadata extends object = JsonObject>(id: string): Promise<Session<Metadata> | undefined>
  async get(id: string): Promise<Session | undefined> {
    parseInput(idSchema, id, 'id')
    return this.#context.cache.read('sessions', id, (db = this.#db) =>
      selectSession.first(db, { id, now: this.#context.now() }),
    )
  }

  /**
   * Returns a session with its counters, or undefined if there is none. Not cached.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * console.log((await storage.sessions.summary('chat'))?.messageCount) // 1
   * ```
   */
  summary<Metadata extends object = JsonObject>(id: string): Promise<SessionSummary<Metadata> | undefined>
  async summary(id: string): Promise<SessionSummary | undefined> {
    parseInput(idSchema, id, 'id')
    return selectSummary.first(this.#db, { id, now: this.#context.now() })
  }

  /**
   * Returns a page of sessions, the most recently active first unless `orderBy` is 'createdAt'. Not cached. A session
   * that becomes active moves to the front, so a walk over all pages may miss it; a walk by 'createdAt' misses none.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.sessions.create({ ownerId: 'ada' })
   * const { items, nextCursor } = await storage.sessions.list({ ownerId: 'ada', limit: 20 })
   * console.log(items.length, nextCursor) // 1 undefined
   * ```
   */
  list<Metadata extends object = JsonObject>(options?: ListSessionsOptions): Promise<Page<SessionSummary<Metadata>>>
  async list(options: ListSessionsOptions = {}): Promise<Page<SessionSummary>> {
    const { ownerId, orderBy = 'lastActiveAt', ...page } = parseInput(listOptionsSchema, options, 'options')
    return listSummaries[orderBy](this.#db, { now: this.#context.now(), ownerId }, page, 'desc')
  }

  /**
   * Returns a page of the sessions that have a message which the query finds, each with its newest hit. The session of the
   * newest hit comes first. The query is that of `messages.search`. Needs `database.options.search`.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_STATE} when the search is switched off.
   * @throws {INVALID_INPUT} when the query or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Send me the invoice, please.' })
   * const { items } = await storage.sessions.search('invoice')
   * console.log(items[0]?.session.id) // chat
   * ```
   */
  search<Metadata extends object = JsonObject>(
    query: string,
    options?: SearchSessionsOptions,
  ): Promise<SearchPage<SessionHit<Metadata>>>
  async search(query: string, options: SearchSessionsOptions = {}): Promise<SearchPage<SessionHit>> {
    return searchSessions(this.#db, this.#context.now(), query, parseInput(pageSchema, options, 'options'))
  }

  /**
   * Returns a page of the sessions that were forked from a session, the first fork first. Forks of forks are not among them.
   * Returns none if the session does not exist. Not cached.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when the id or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Oslo or Bergen?' })
   * await storage.sessions.fork('chat', { id: 'bergen' })
   * console.log((await storage.sessions.forks('chat')).items.map(({ id }) => id)) // ['bergen']
   * ```
   */
  forks<Metadata extends object = JsonObject>(
    id: string,
    options?: PageOptions,
  ): Promise<Page<SessionSummary<Metadata>>>
  async forks(id: string, options: PageOptions = {}): Promise<Page<SessionSummary>> {
    parseInput(idSchema, id, 'id')
    const page = parseInput(pageSchema, options, 'options')
    const now = this.#context.now()
    const session = await selectSession.first(this.#db, { id, now })
    if (session === undefined) return { items: [] }
    return listForks(this.#db, { now, parentId: id, ownerId: session.ownerId }, page, 'asc')
  }
}
