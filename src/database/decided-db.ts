import { and, eq, sql } from 'drizzle-orm'
import type { SearchSetting } from '../config/types.ts'
import type { Db, Dialect, DialectKit, Orm } from './db.ts'
import { notExpired } from './expiry.ts'
import { clearOwner } from './owner.ts'
import type { Query, Row } from './query.ts'
import { batch, type Call, DECIDED_OWNER, type Results, statement } from './statement.ts'

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
    return orm.select({ owner: sql`set_config(${DECIDED_OWNER}, ${owner}, true)` }).from(sql`(select 1) as one`)
  })
}

/**
 * A handle without an owner, in a batch on PostgreSQL. Its statements work with the owner that the batch has decided on. Each would
 * otherwise find out by itself whose session an id names, and others may create, give away or delete one between two statements.
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

/** Runs calls about one session as one atomic batch, in one round trip on PostgreSQL. Returns the rows of each call. */
export async function batchOfSession<const Calls extends readonly Call<unknown>[]>(
  db: Db,
  session: NamedSession,
  calls: Calls,
): Promise<Results<Calls>> {
  const opening = calls.length > 1 ? openingOf(db, session) : []
  const results = await batch(opening.length > 0 ? new DecidedDb(db) : db, [...opening, ...calls])
  return results.slice(opening.length) as Results<Calls> // what is left are the results of the calls
}

/** Returns the handle for a batch with the calls of `openingOf` in it. */
export function deciding(db: Db): Db {
  return mustDecide(db) ? new DecidedDb(db) : db
}

/** Returns the calls that come before those about a session. */
export function openingOf(db: Db, { sessionId, now }: NamedSession): Call<object>[] {
  if (!mustDecide(db)) return []
  return [now ? decide.unexpired.with({ sessionId, now }) : decide.any.with({ sessionId, now: new Date(0) })]
}

/** Returns false for a handle with an owner, which has decided, and on SQLite, which lets nobody write between two statements. */
const mustDecide = ({ dialect, owner }: Db) => dialect === 'postgres' && owner === undefined
