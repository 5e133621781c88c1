import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { SearchSetting } from '../config/types.ts'
import type { Db, Dialect, DialectKit, Orm } from './db.ts'
import { notExpired } from './expiry.ts'
import { clearOwner } from './owner.ts'
import type { Query, Row } from './query.ts'
import { type Builder, batch, type Call, DECIDED_OWNER, type Results, statement } from './statement.ts'

/** Names a session for a handle without an owner. */
interface NamedSession {
  sessionId: string
  /** Only sessions that have not expired by then count. Default: all. */
  now?: Date
}

const decide = { unexpired: decision(true), any: decision(false) }

/**
 * Makes the statement that decides whose session an id names, and keeps the session from being given away or deleted until the
 * transaction ends.
 */
function decision(isUnexpired: boolean) {
  return statement(({ orm, tables: { sessions: s } }, arg: Required<NamedSession>) => {
    const isNamed = and(eq(s.id, arg.sessionId), isUnexpired ? notExpired(s, arg.now) : undefined)
    const locked = sql`(select ${s.ownerId} from ${s} where ${isNamed} for no key update) ${s}`
    const owner = sql`coalesce((select ${clearOwner(s.ownerId)} from ${locked}), ${sql.raw(`''`)})`
    return decisionOn(orm, owner)
  })
}

/** Makes the query that sets the owner for the rest of the transaction. */
function decisionOn(orm: Orm, owner: SQL | string) {
  return orm.select({ owner: sql`set_config(${DECIDED_OWNER}, ${owner}, true)` }).from(sql`(select 1) as one`)
}

/**
 * A handle in a batch on PostgreSQL. Its statements work with the owner that the batch has decided on. Each would otherwise find
 * out by itself whose session an id names, and others may create, give away or delete one between two statements.
 */
class DecidedDb implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Db['tables']
  readonly owner = undefined
  readonly isDecided = true
  readonly search: SearchSetting
  readonly #db: Db

  constructor(db: Db) {
    this.kit = db.kit
    this.dialect = db.dialect
    this.tables = db.tables
    this.search = db.search
    this.#db = db
  }

  get orm(): Orm {
    return this.#db.orm
  }

  run(query: Query): Promise<readonly Row[]> {
    return this.#db.run(query)
  }

  batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return this.#db.batch(queries)
  }

  transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    return this.#db.transaction(body)
  }
}

/**
 * Runs calls about one session as one atomic batch, in one round trip on PostgreSQL. Returns the rows of each call. Calls that
 * change only what is there take `presence`, a call that `noteOwnerOf` has made: if it finds no row, the calls find nothing
 * either, also if somebody creates the row between two of them.
 */
export async function batchOfSession<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  session: NamedSession,
  calls: Calls,
  presence?: Call<object>,
): Promise<Results<Calls>> {
  const opening = calls.length > 1 ? openingOf(db, session, presence) : []
  const results = await batch(opening.length > 0 ? new DecidedDb(db) : db, [...opening, ...calls])
  return results.slice(opening.length) as Results<Calls> // what is left are the results of the calls
}

/** Returns the handle for a batch with the calls of `openingOf` in it, `presence` included. */
export function deciding(db: Db): Db {
  return db.dialect === 'postgres' ? new DecidedDb(db) : db
}

/** Returns the calls that come before those about a session. None on SQLite, which lets nobody write between two statements. */
export function openingOf(db: Db, { sessionId, now }: NamedSession, presence?: Call<object>): Call<object>[] {
  if (db.dialect !== 'postgres') return []
  if (db.owner !== undefined) return presence ? [decideOnOwner.with({ owner: db.owner }), presence] : []
  const decision = now ? decide.unexpired.with({ sessionId, now }) : decide.any.with({ sessionId, now: new Date(0) })
  return presence ? [decision, presence] : [decision]
}

const decideOnOwner = statement(({ orm }, { owner }: { owner: string }) => decisionOn(orm, owner))

/** No owner has an id of so many bytes. */
const NO_OWNER = sql.raw(`repeat('-', 256)`)

/** Makes the query that locks the row of a condition, and lets the rest of the batch find nothing if there is none. */
export function noteOwnerOf({ orm }: Builder, table: PgTable & { ownerId: PgColumn }, condition: SQL | undefined) {
  const owner = sql`coalesce((select ${table.ownerId} from ${table} where ${condition} for no key update), ${NO_OWNER})`
  return decisionOn(orm, owner)
}
