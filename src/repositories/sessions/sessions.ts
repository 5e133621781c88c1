import { randomUUID } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import { ownedKeys } from '../../cache/owned-row-cache.ts'
import type { Db } from '../../database/db.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { NOBODY } from '../../database/owner.ts'
import { isStorageError, StorageError } from '../../errors.ts'
import type { Given, JsonObject, MetadataPatch } from '../../schema/values.ts'
import {
  idSchema,
  invalidInput,
  MAX_INTEGER,
  parseInput,
  positionSchema,
  versionSchema,
} from '../../validation/input.ts'
import { jsonObjectSchema, mergeJson } from '../../validation/json.ts'
import type { RepositoryContext } from '../context.ts'
import { forkSession } from './fork.ts'
import { giveSession } from './giving.ts'
import { cachedEntries, EntriesAdded, keysOfSession } from './giving-keys.ts'
import { homeOfOwner, writeAtHome } from './home.ts'
import { noSuchSession } from './in-session.ts'
import { SessionReads } from './reads.ts'
import { cachedRowsOf, incarnationOf, removeSession, retryWithoutExpired } from './removal.ts'
import { insertSession, lockAndRaiseVersion, selectSession, sessionColumns, updateMetadata } from './statements.ts'
import { sweepSessions } from './sweep.ts'
import {
  type ForkOptions,
  type Session,
  type SessionInput,
  type SessionPatch,
  type SessionSummary,
  sessionInputSchema,
  sessionPatchSchema,
  titleSchema,
  type UpdateSessionOptions,
} from './types.ts'
import { isUnexpiredSession } from './unexpired.ts'

const forkOptionsSchema = z.strictObject({
  id: z.optional(idSchema),
  title: z.optional(titleSchema),
  throughSeq: z.optional(positionSchema),
})
const updateOptionsSchema = z.strictObject({ ifVersion: z.optional(versionSchema) })

/** Sessions: conversations, without their messages, which are in `storage.messages`. */
export class Sessions extends SessionReads {
  readonly #db: Db
  readonly #context: RepositoryContext

  /** @internal */
  constructor(db: Db, context: RepositoryContext) {
    super(db, context)
    this.#db = db
    this.#context = context
  }

  /**
   * Creates a session. Safe to repeat with an `id`: the repeat fails with ALREADY_EXISTS.
   *
   * @throws {ALREADY_EXISTS} when the owner has a session with this id.
   * @throws {INVALID_INPUT} when a field is not valid.
   *
   * @example
   * ```ts
   * const session = await storage.sessions.create({ title: 'Trip to Oslo', ownerId: 'ada' })
   * console.log(session.version) // 1
   * ```
   */
  create<Metadata extends object = JsonObject>(input?: SessionInput<Metadata>): Promise<Session<Metadata>>
  async create(input: SessionInput = {}): Promise<Session> {
    const {
      id = randomUUID(),
      title = null,
      ownerId: givenOwner,
      metadata = {},
      expiresAt = null,
    } = parseInput(sessionInputSchema, input, 'session')
    const { confirmedNow } = this.#context
    const now = this.#context.now()
    const ownerId = this.#ownerOfNew(givenOwner, 'session.ownerId') ?? this.#db.owner ?? NOBODY
    const { db: home, cache } = homeOfOwner(this.#db, this.#context.cache, ownerId)
    const row = { id, ownerId, title, metadata, version: 1, createdAt: now, updatedAt: now, expiresAt }
    const insert = async (db: Db) => {
      const inserted = await insertSession.first(db, row)
      if (inserted === undefined) throw alreadyExists(id)
      return inserted
    }
    const create = (db = home) => retryWithoutExpired(db, { id, now, confirmedNow }, () => insert(db))
    const outcomeOf = (session: Session) => ({ created: true, incarnation: incarnationOf(session) })
    return cache.writeIfNew(cachedRowsOf(id), create, outcomeOf)
  }

  /**
   * Changes the given fields of a session: null empties a field, undefined leaves it. A change of the owner takes
   * everything that belongs to the session along. Safe to repeat without `ifVersion`, though each call raises the version.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when there is no such session.
   * @throws {VERSION_CONFLICT} when the session is not at version `ifVersion`.
   * @throws {ALREADY_EXISTS} when the new owner has a session, queue or state with this id, or an entry of `kv` or a list with
   * the same key as one that goes with the session.
   * @throws {INVALID_INPUT} when a field or an option is not valid, or a scope is asked to change the owner.
   *
   * @example
   * ```ts
   * const { id, version } = await storage.sessions.create({ title: 'Trip' })
   * await storage.sessions.update(id, { title: 'Trip to Oslo' }, { ifVersion: version })
   * ```
   */
  update<Metadata extends object = JsonObject>(
    id: string,
    patch: SessionPatch<Metadata>,
    options?: UpdateSessionOptions,
  ): Promise<Session<Metadata>>
  async update(id: string, patch: SessionPatch, options: UpdateSessionOptions = {}): Promise<Session> {
    parseInput(idSchema, id, 'id')
    const { ownerId: givenOwner, ...values } = parseInput(sessionPatchSchema, patch, 'patch')
    const { ifVersion } = parseInput(updateOptionsSchema, options, 'options')
    const newOwner = this.#ownerOfNew(givenOwner, 'patch.ownerId')
    const { sessions } = this.#db.tables
    const now = this.#context.now()
    const update = async (db: Db) =>
      db.orm
        .update(sessions)
        .set({ ...values, version: sql`${sessions.version} + 1`, updatedAt: now })
        .where(
          and(isUnexpiredSession(db, id, now), ifVersion === undefined ? undefined : eq(sessions.version, ifVersion)),
        )
        .returning(sessionColumns(db.tables))
    const updated = await writeAtHome(this.#db, this.#context, id, async (home) => {
      if (newOwner === undefined || newOwner === home.db.owner) {
        const [row] = await home.cache.write([['sessions', id]], (db = home.db) => update(db))
        return row
      }
      const [row] = await this.#give(id, home.db.owner ?? NOBODY, newOwner, update)
      return row && { ...row, ownerId: newOwner }
    })
    if (updated === undefined) throw await this.#notUpdated(id, ifVersion)
    return updated
  }

  /** Updates a session and gives it to another owner, in one transaction. */
  async #give(id: string, from: string, to: string, update: (db: Db) => Promise<Session[]>): Promise<Session[]> {
    const { confirmedNow } = this.#context
    const gift = { id, from, to, now: this.#context.now() }
    for (;;) {
      const keys = await keysOfSession(this.#db, { id, owner: from })
      const rows = [from, to].flatMap((owner) => ownedKeys(owner, cachedRowsOf(id)))
      // A session of the new owner that has expired is in the way, until maintenance removes it.
      const give = (db = this.#db) =>
        retryWithoutExpired(new OwnedDb(db, to), { id, now: gift.now, confirmedNow }, () =>
          giveSession(db, { ...gift, keys }, update),
        )
      try {
        return await this.#context.cache.write([...rows, ...cachedEntries(to, keys)], give)
      } catch (error) {
        if (error instanceof EntriesAdded) continue
        throw saidPlainly(error, id, 'The new owner has a session, a queue or a state with this id already')
      }
    }
  }

  /**
   * Returns the owner that a session is to have, or undefined if none is given.
   *
   * @throws {INVALID_INPUT} when a scope is to give a session to somebody else
   */
  #ownerOfNew(given: string | null | undefined, path: string): string | undefined {
    const { owner } = this.#db
    if (given === undefined || owner === undefined || given === owner) return given === null ? NOBODY : given
    throw invalidInput([{ path, message: `must be the owner of the scope, ${JSON.stringify(owner)}, or left out` }])
  }

  async #notUpdated(id: string, ifVersion: number | undefined): Promise<StorageError> {
    const current = await selectSession.first(this.#db, { id, now: this.#context.now() })
    // Without `ifVersion` only a missing session prevents an update. It may have been created since.
    if (current === undefined || ifVersion === undefined) return noSuchSession(id)
    const details = { id, expected: ifVersion, actual: current.version }
    return new StorageError(
      'VERSION_CONFLICT',
      `The session is at version ${current.version}, not ${ifVersion}: read it again`,
      { details },
    )
  }

  /**
   * Removes a session and, in the same transaction, everything that belongs to it: messages, events, queues, approvals,
   * allowed tools, tool preferences, and the entries of `kv` and lists that go with it. Returns true if the session existed.
   * Safe to repeat.
   *
   * @throws {INVALID_INPUT} when the id is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', { role: 'user', content: 'Hello' })
   * console.log(await storage.sessions.delete('chat')) // true
   * console.log(await storage.messages.latest('chat', 10)) // []
   * ```
   */
  async delete(id: string): Promise<boolean> {
    parseInput(idSchema, id, 'id')
    const removed = await writeAtHome(this.#db, this.#context, id, (home) =>
      home.cache.write(cachedRowsOf(id), (db = home.db) => removeSession(db, id)),
    )
    return removed !== undefined && (removed.expiresAt === null || removed.expiresAt > this.#context.now())
  }

  /**
   * Sets the properties of `patch` in the session's metadata, and removes those that are undefined in `patch`. Atomic:
   * concurrent merges lose nothing. Safe to repeat, though each call raises the version.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when there is no such session.
   * @throws {INVALID_INPUT} when the id is not valid or `patch` is not a JSON object.
   *
   * @example
   * ```ts
   * const { id } = await storage.sessions.create({ metadata: { mood: 'curious', language: 'de' } })
   * const { metadata } = await storage.sessions.mergeMetadata(id, { mood: undefined, language: 'en' })
   * console.log(metadata) // { language: 'en' }
   * ```
   */
  mergeMetadata<Metadata extends object = JsonObject>(
    id: string,
    patch: Given<MetadataPatch<Metadata>, MetadataPatch<JsonObject>, object>,
  ): Promise<Session<Metadata>>
  async mergeMetadata(id: string, patch: object): Promise<Session> {
    parseInput(idSchema, id, 'id')
    const checked = parseInput(jsonObjectSchema, patch, 'patch')
    const merge = (db: Db) =>
      db.transaction(async (tx) => {
        const locked = await lockAndRaiseVersion.first(tx, { id, now: this.#context.now() })
        return locked && updateMetadata.first(tx, { id, metadata: mergeJson(locked.metadata, checked) })
      })
    const merged = await writeAtHome(this.#db, this.#context, id, (home) =>
      home.cache.write([['sessions', id]], (db = home.db) => merge(db)),
    )
    if (merged === undefined) throw noSuchSession(id)
    return merged
  }

  /**
   * Copies a session with its messages into a new session, whose `parentId` is `id`. Entries of `kv` and lists that go with
   * the original are not copied. The copy keeps the owner, metadata and `expiresAt` of the original. Safe to repeat with an
   * `id` option: the repeat fails with ALREADY_EXISTS.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {NOT_FOUND} when there is no such session.
   * @throws {ALREADY_EXISTS} when there is a session with the id of the copy.
   * @throws {INVALID_INPUT} when the id or an option is not valid.
   *
   * @example
   * ```ts
   * await storage.messages.append('chat', [
   *   { role: 'user', content: 'Oslo or Bergen?' },
   *   { role: 'assistant', content: 'Oslo.' },
   * ])
   * const branch = await storage.sessions.fork('chat', { title: 'Bergen after all', throughSeq: 1 })
   * console.log(branch.messageCount, branch.parentId) // 1 chat
   * ```
   */
  fork<Metadata extends object = JsonObject>(id: string, options?: ForkOptions): Promise<SessionSummary<Metadata>>
  async fork(id: string, options: ForkOptions = {}): Promise<SessionSummary> {
    parseInput(idSchema, id, 'id')
    const parsed = parseInput(forkOptionsSchema, options, 'options')
    const { id: newId = randomUUID(), title, throughSeq = MAX_INTEGER } = parsed
    const { confirmedNow } = this.#context
    const now = this.#context.now()
    const fork = (db: Db) => forkSession(db, { id, newId, title, throughSeq, now })
    const copy = await writeAtHome(this.#db, this.#context, id, (home) =>
      home.cache.write(cachedRowsOf(newId), (db = home.db) =>
        retryWithoutExpired(db, { id: newId, now, confirmedNow }, () => fork(db)),
      ),
    ).catch((error) => {
      throw saidPlainly(error, newId)
    })
    if (copy === undefined) throw noSuchSession(id)
    // The vectors were copied, except for texts that had none yet.
    this.#context.embedding?.written({ sessionId: newId, from: 1, through: copy.lastSeq })
    return copy
  }

  /**
   * Removes sessions that expired five minutes ago or earlier, with everything that belongs to them. Returns the number
   * removed. Called by maintenance.
   *
   * @internal
   */
  sweepExpired(): Promise<number> {
    return sweepSessions(this.#db, this.#context)
  }
}

function alreadyExists(id: string, message = 'The session exists already', cause?: unknown): StorageError {
  return new StorageError('ALREADY_EXISTS', message, { cause, details: { id } })
}

/** Returns an error that says what exists already, if the database has said no more than that a row does. */
function saidPlainly(error: unknown, id: string, message?: string): unknown {
  const isOfDatabase = isStorageError(error, 'ALREADY_EXISTS') && error.details.key === undefined
  return isOfDatabase ? alreadyExists(id, message, error) : error
}
