import { randomUUID } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { notExpired } from '../../database/expiry.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { type Page, type PageOptions, pageSchema } from '../../database/paging/page.ts'
import { statement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { Tables } from '../../schema/tables.ts'
import type { JsonObject } from '../../schema/values.ts'
import { idSchema, MAX_INTEGER, parseInput, positionSchema, versionSchema } from '../../validation/input.ts'
import { jsonObjectSchema, mergeJson } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { forkSession } from './fork.ts'
import {
  cachedRowsOf,
  expiredSessions,
  incarnationOf,
  removeExpiredSession,
  removeSession,
  replacingExpired,
} from './removal.ts'
import {
  type ForkOptions,
  type Session,
  type SessionInput,
  type SessionPatch,
  type SessionSummary,
  sessionInputSchema,
  sessionPatchSchema,
  titleSchema,
} from './types.ts'

const forkSchema = z.strictObject({
  id: idSchema.optional(),
  title: titleSchema.optional(),
  throughSeq: positionSchema.optional(),
})

const updateOptionsSchema = z.strictObject({ ifVersion: versionSchema.optional() })
const listSchema = z.strictObject({
  ownerId: idSchema.optional(),
  ...pageSchema.shape,
})

/** What `get` returns; the columns that an append touches are not among them. */
const sessionColumns = ({ sessions: s }: Tables) => ({
  id: s.id,
  title: s.title,
  ownerId: s.ownerId,
  metadata: s.metadata,
  version: s.version,
  parentId: s.parentId,
  createdAt: s.createdAt,
  updatedAt: s.updatedAt,
  expiresAt: s.expiresAt,
})

const insertSession = statement(({ orm, tables }, arg: Omit<Session, 'parentId'>) =>
  orm
    .insert(tables.sessions)
    .values({ ...fields(arg), parentId: null, lastSeq: 0, messageCount: 0, lastActiveAt: arg.createdAt })
    .onConflictDoNothing()
    .returning(sessionColumns(tables)),
)

/** A statement's arguments are placeholders: they are named, one by one. */
function fields(arg: Omit<Session, 'parentId'>): Omit<Session, 'parentId'> {
  const { id, title, ownerId, metadata, version, createdAt, updatedAt, expiresAt } = arg
  return { id, title, ownerId, metadata, version, createdAt, updatedAt, expiresAt }
}

const selectSession = statement(({ orm, tables }, arg: { id: string; now: Date }) =>
  orm
    .select(sessionColumns(tables))
    .from(tables.sessions)
    .where(and(eq(tables.sessions.id, arg.id), notExpired(tables.sessions, arg.now))),
)

const selectSummary = statement(({ orm, tables }, arg: { id: string; now: Date }) =>
  orm
    .select()
    .from(tables.sessions)
    .where(and(eq(tables.sessions.id, arg.id), notExpired(tables.sessions, arg.now))),
)

const listSummaries = pagedQuery({
  name: 'sessions',
  select: ({ orm, tables }) => orm.select().from(tables.sessions),
  filters: {
    now: ({ sessions }, now: Date) => notExpired(sessions, now),
    ownerId: ({ sessions }, ownerId: string) => eq(sessions.ownerId, ownerId),
  },
  orderBy: [
    { name: 'lastActiveAt', kind: 'instant', column: ({ sessions }) => sessions.lastActiveAt },
    { name: 'id', kind: 'text', column: ({ sessions }) => sessions.id },
  ],
})

const lockMetadata = statement(({ orm, tables: { sessions: s } }, arg: { id: string; now: Date }) =>
  orm
    .update(s)
    .set({ version: sql`${s.version} + 1`, updatedAt: arg.now })
    .where(and(eq(s.id, arg.id), notExpired(s, arg.now)))
    .returning({ metadata: s.metadata }),
)

const writeMetadata = statement(({ orm, tables }, arg: { id: string; metadata: JsonObject }) =>
  orm
    .update(tables.sessions)
    .set({ metadata: arg.metadata })
    .where(eq(tables.sessions.id, arg.id))
    .returning(sessionColumns(tables)),
)

/** Conversations, their fields and their lists. Messages are in `messages`. */
export class Sessions {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /** Creates a session; the id is random unless given. Errors: ALREADY_EXISTS, INVALID_INPUT. Repeat only with an id. */
  async create(input: SessionInput = {}): Promise<Session> {
    const {
      id = randomUUID(),
      title = null,
      ownerId = null,
      metadata = {},
      expiresAt = null,
    } = parseInput(sessionInputSchema, input, 'session')
    const now = this.#context.now()
    const row = { id, title, ownerId, metadata, version: 1, createdAt: now, updatedAt: now, expiresAt }
    const insert = async () => {
      const inserted = await insertSession.first(this.#db, row)
      if (inserted === undefined) throw alreadyExists(id)
      return inserted
    }
    const create = () => replacingExpired(this.#db, { id, now }, insert)
    const outcomeOf = (session: Session) => ({ created: true, incarnation: incarnationOf(session) })
    return this.#context.cache.writeIfNew(cachedRowsOf(id), create, outcomeOf)
  }

  /** The session, or undefined. Cached. */
  async get(id: string): Promise<Session | undefined> {
    parseInput(idSchema, id, 'id')
    return this.#context.cache.read('sessions', id, (db = this.#db) =>
      selectSession.first(db, { id, now: this.#context.now() }),
    )
  }

  /**
   * Changes the given fields; null empties one, undefined leaves it. `ifVersion` refuses where someone else came first.
   * Errors: NOT_FOUND, VERSION_CONFLICT, INVALID_INPUT. Safe to repeat, though the version rises.
   */
  async update(id: string, patch: SessionPatch, options: { ifVersion?: number | undefined } = {}): Promise<Session> {
    parseInput(idSchema, id, 'id')
    const values = parseInput(sessionPatchSchema, patch, 'patch')
    const { ifVersion } = parseInput(updateOptionsSchema, options, 'options')
    const { sessions } = this.#db.tables
    const now = this.#context.now()
    const update = async () =>
      this.#db.orm
        .update(sessions)
        .set({ ...values, version: sql`${sessions.version} + 1`, updatedAt: now })
        .where(
          and(
            eq(sessions.id, id),
            notExpired(sessions, now),
            ifVersion === undefined ? undefined : eq(sessions.version, ifVersion),
          ),
        )
        .returning(sessionColumns(this.#db.tables))
    const [updated] = await this.#context.cache.write([['sessions', id]], update)
    if (updated === undefined) throw await this.#notUpdated(id, ifVersion)
    return updated
  }

  async #notUpdated(id: string, ifVersion: number | undefined): Promise<StorageError> {
    const there = await selectSession.first(this.#db, { id, now: this.#context.now() })
    if (there === undefined) return notFound(id)
    const details = { id, expected: ifVersion, actual: there.version }
    return new StorageError(
      'VERSION_CONFLICT',
      `The session is at version ${there.version}, not ${ifVersion}: read it again`,
      { details },
    )
  }

  /** Whether there was one. Removes, in one transaction, all that belongs to it: messages, events, queues, approvals and tool preferences. */
  async delete(id: string): Promise<boolean> {
    parseInput(idSchema, id, 'id')
    const removed = await this.#context.cache.write(cachedRowsOf(id), () => removeSession(this.#db, id))
    return removed !== undefined && (removed.expiresAt === null || removed.expiresAt > this.#context.now())
  }

  /**
   * Sets the patch's properties in the metadata; one that is undefined is removed. Atomic: concurrent merges lose
   * nothing. Errors: NOT_FOUND, INVALID_INPUT. Safe to repeat.
   */
  async mergeMetadata(id: string, patch: object): Promise<Session> {
    parseInput(idSchema, id, 'id')
    const checked = parseInput(jsonObjectSchema, patch, 'patch')
    const merge = () =>
      this.#db.transaction(async (tx) => {
        const locked = await lockMetadata.first(tx, { id, now: this.#context.now() })
        return locked && writeMetadata.first(tx, { id, metadata: mergeJson(locked.metadata, checked) })
      })
    const merged = await this.#context.cache.write([['sessions', id]], merge)
    if (merged === undefined) throw notFound(id)
    return merged
  }

  /** The session with its counters, or undefined. Not cached. */
  async summary(id: string): Promise<SessionSummary | undefined> {
    parseInput(idSchema, id, 'id')
    return selectSummary.first(this.#db, { id, now: this.#context.now() })
  }

  /** Sessions, the most recently active first. */
  async list(options: { ownerId?: string | undefined } & PageOptions = {}): Promise<Page<SessionSummary>> {
    const { ownerId, ...page } = parseInput(listSchema, options, 'options')
    return listSummaries(this.#db, { now: this.#context.now(), ownerId }, page, 'desc')
  }

  /**
   * A new session with a copy of the conversation, up to and including `throughSeq`; its `parentId` is `id`. Owner,
   * metadata and `expiresAt` are those of the original: a copy of what expires does so at the same instant.
   * Errors: NOT_FOUND, ALREADY_EXISTS, INVALID_INPUT. Repeat only with an id.
   */
  async fork(id: string, options: ForkOptions = {}): Promise<SessionSummary> {
    parseInput(idSchema, id, 'id')
    const { id: newId = randomUUID(), title, throughSeq = MAX_INTEGER } = parseInput(forkSchema, options, 'options')
    const now = this.#context.now()
    const fork = () => forkSession(this.#db, { id, newId, title, throughSeq, now })
    const copy = await this.#context.cache.write(cachedRowsOf(newId), () =>
      replacingExpired(this.#db, { id: newId, now }, fork),
    )
    if (copy === undefined) throw notFound(id)
    return copy
  }

  /** Removes expired sessions; how many. For maintenance. @internal */
  async sweepExpired(): Promise<number> {
    const now = this.#context.now()
    let removed = 0
    for await (const id of expiredSessions(this.#db, now)) {
      const remove = () => removeExpiredSession(this.#db, id, now)
      if (await this.#context.cache.write(cachedRowsOf(id), remove)) removed++
    }
    return removed
  }
}

function alreadyExists(id: string): StorageError {
  return new StorageError('ALREADY_EXISTS', 'The session exists already', { details: { id } })
}

function notFound(id: string): StorageError {
  return new StorageError('NOT_FOUND', 'There is no such session', { details: { id } })
}
