import { LRUCache } from 'lru-cache'
import { AccompaniedDb } from '../database/accompanied-db.ts'
import type { Database } from '../database/database.ts'
import type { Db } from '../database/db.ts'
import { OwnedDb } from '../database/owned-db.ts'
import { isStorageError } from '../errors.ts'
import { noteCacheResult } from '../observability/channels.ts'
import type { CacheAside } from './cache-aside.ts'
import type { Notices } from './notices.ts'
import type { MaybePromise } from './store.ts'

/** The cache key of a row. */
export type RowKey = readonly [table: string, id: string]

/** Reads a row from the database; uses the repository's own handle unless `db` is given. */
export type Load<T> = (db?: Db) => Promise<T | undefined>

/** Runs a write; uses the repository's own handle unless `db` is given. */
export type Write<T> = (db?: Db) => Promise<T>

/** Whether a write created its row or found it already present. */
export interface WriteOutcome {
  /** True if this write created the row, or if that is unknown. */
  created: boolean
  /** Differs for a row that is deleted and created again under the same id. Only shared caches need it. */
  incarnation?: string
}

/** The cache in front of point reads, as repositories see it. Transactions bypass it. */
export interface RowCache {
  /**
   * Returns the row from the cache or from `load`, or undefined if the row does not exist. The row's `expiresAt` bounds
   * how long it is cached. `owner` is that of the handle which `load` is given.
   */
  read<T extends object>(table: string, id: string, load: Load<T>, owner?: string): MaybePromise<T | undefined>
  /**
   * Runs a write and invalidates `rows` before it resolves (in a transaction: after the commit). A failure with an
   * unknown outcome counts as a change.
   *
   * @throws {CACHE_UNAVAILABLE} when the cache is strict and cannot be told of the write; nothing was written
   */
  write<T>(rows: readonly RowKey[], work: Write<T>): Promise<T>
  /**
   * Like `write`, for a write that leaves an existing row as it is: invalidates only if the row is new, or if this
   * process has not invalidated this incarnation of the row before.
   */
  writeIfNew<T>(rows: readonly RowKey[], work: Write<T>, outcomeOf: (result: T) => WriteOutcome): Promise<T>
}

/** How many sessions to remember as already invalidated. Evicting one only costs one extra invalidation. */
const MAX_KNOWN_SESSIONS = 10_000

/** The row cache of a storage, outside of transactions. */
export class StorageRowCache implements RowCache {
  readonly #aside: CacheAside
  readonly #database: Database
  /** Calls that were admitted before `close()` may still read and write. */
  readonly #ungated: Database
  /** By its rows, the incarnation of a session whose cached absence this process has removed from the caches of all. */
  readonly #knownSessions: LRUCache<string, string> | undefined
  readonly #notices: Notices | undefined

  /**
   * `isShared` says that other processes read and fill the same cache. With `notices` they have caches of their own, which
   * each write tells of its rows.
   */
  constructor(
    aside: CacheAside,
    database: Database,
    { isShared, notices }: { isShared: boolean; notices?: Notices | undefined },
  ) {
    this.#aside = aside
    this.#database = database
    this.#ungated = database.ungated()
    this.#notices = notices
    if (isShared || notices) this.#knownSessions = new LRUCache({ max: MAX_KNOWN_SESSIONS })
  }

  read<T extends object>(table: string, id: string, load: Load<T>, owner?: string): MaybePromise<T | undefined> {
    // A hit needs no database, but must be refused whenever a miss would be.
    this.#database.check()
    const row = this.#aside.read(table, id, () =>
      load(owner === undefined ? this.#ungated : new OwnedDb(this.#ungated, owner)),
    )
    // close() waits for reads that are still loading.
    return row instanceof Promise ? this.#database.whileOpen(() => row) : row
  }

  write<T>(rows: readonly RowKey[], work: Write<T>): Promise<T> {
    return this.#database.whileOpen(async () => {
      this.#knownSessions?.delete(rows.join()) // it may be deleted, and created again
      const result = await this.#attempt(rows, async (announce) => {
        await announce()
        return work(this.#telling(rows))
      })
      await this.#invalidate(rows)
      return result
    })
  }

  writeIfNew<T>(rows: readonly RowKey[], work: Write<T>, outcomeOf: (result: T) => WriteOutcome): Promise<T> {
    return this.#database.whileOpen(async () => {
      const known = this.#knownSessions
      const name = rows.join()
      const isKnown = known?.has(name) === true
      let announced = false
      const result = await this.#attempt(rows, async (announce) => {
        // A session that this process has appended to before exists, and an append leaves what is cached of it as it is.
        if (isKnown) return work(this.#ungated)
        announced = await announce()
        return work(this.#telling(rows))
      })
      const { created, incarnation } = outcomeOf(result)
      // The process that created this row may have died before invalidating its cached absence. Invalidate once on its
      // behalf: this runs after its commit, so any earlier reader has lost its lease and any later one sees the row.
      const isUnknown = known !== undefined && incarnation !== undefined && known.get(name) !== incarnation
      if (created || isUnknown || announced) await this.#invalidate(rows)
      // It was deleted since, and created again by this write or by another process.
      if (isKnown && (created || isUnknown)) await this.#tell(this.#ungated, rows)
      if (incarnation !== undefined) known?.set(name, incarnation)
      return result
    })
  }

  /**
   * Runs a transaction whose repositories use `cache`, and invalidates the rows they touched after the commit. `work`
   * calls `announce` at the end of the body of the transaction `tx`, before the commit, and fails if `announce` does. With
   * `isAdmitted` it is part of a call that is in flight already.
   */
  transaction<T>(
    work: (cache: RowCache, announce: (tx: Db) => Promise<void>) => Promise<T>,
    isAdmitted = false,
  ): Promise<T> {
    const inside = new TransactionRowCache()
    return this.#database.whileOpen(async () => {
      const result = await this.#attempt(inside.touched, (announce) =>
        work(inside, async (tx) => {
          await announce()
          await this.#tell(tx, inside.touched)
        }),
      )
      await this.#invalidate(inside.touched)
      return result
    }, isAdmitted)
  }

  /**
   * Runs a write, which calls `announce` before it commits: true means that the rows must be invalidated. If the write
   * fails, invalidates the rows that it may have changed, or that were announced, even if the announcement failed.
   */
  async #attempt<T>(rows: readonly RowKey[], work: (announce: () => Promise<boolean>) => Promise<T>): Promise<T> {
    let announcing: Promise<unknown> | undefined
    let hasFailed = false
    const announce = async () => {
      if (hasFailed) return false // a body that went on when its time was up: nobody would withdraw the marks
      announcing = this.#announce(rows)
      await announcing
      return announcing !== undefined
    }
    try {
      return await work(announce)
    } catch (error) {
      hasFailed = true
      if (isStorageError(error, 'CONNECTION_LOST')) await this.#suspend(rows)
      // ALREADY_EXISTS: the write met a row that the cache may not know yet.
      else if (announcing !== undefined || isStorageError(error, 'ALREADY_EXISTS')) await this.#invalidate(rows)
      throw error
    }
  }

  /**
   * Announces a write, or returns undefined if the store needs no announcement. Announced rows must be invalidated however
   * the write ends, even if it ends before the promise resolves. If the call itself throws, nothing was announced.
   */
  #announce(rows: readonly RowKey[]): Promise<unknown> | undefined {
    const announcements = byTable(rows).map(([table, ids]) => this.#aside.announce(table, ids))
    return announcements.some((announcement) => announcement !== undefined) ? Promise.all(announcements) : undefined
  }

  /** Returns the handle of a write that changes `rows`. With it, the other instances are told. */
  #telling(rows: readonly RowKey[]): Db {
    return this.#notices ? new AccompaniedDb(this.#ungated, this.#notices.statement(byTable(rows))) : this.#ungated
  }

  /** Tells the other instances that `rows` have changed: when `db` commits, if `db` is a transaction. */
  async #tell(db: Db, rows: readonly RowKey[]): Promise<void> {
    if (this.#notices && rows.length > 0) await db.run(this.#notices.statement(byTable(rows)))
  }

  async #invalidate(rows: readonly RowKey[]): Promise<void> {
    await Promise.all(byTable(rows).map(([table, ids]) => this.#aside.invalidate(table, ids)))
  }

  async #suspend(rows: readonly RowKey[]): Promise<void> {
    await Promise.all(byTable(rows).map(([table, ids]) => this.#aside.suspend(table, ids)))
  }
}

/** Returns the different ids of each table. */
function byTable(rows: readonly RowKey[]): [table: string, ids: string[]][] {
  const tables = new Map<string, Set<string>>()
  for (const [table, id] of rows) tables.set(table, (tables.get(table) ?? new Set()).add(id))
  return Array.from(tables, ([table, ids]) => [table, [...ids]])
}

/** The row cache inside a transaction: reads bypass the cache, and writes note the rows they touch. */
class TransactionRowCache implements RowCache {
  readonly touched: RowKey[] = []

  read<T>(_table: string, _id: string, load: Load<T>): Promise<T | undefined> {
    noteCacheResult('bypass')
    return load()
  }

  write<T>(rows: readonly RowKey[], work: Write<T>): Promise<T> {
    this.touched.push(...rows)
    return work()
  }

  writeIfNew<T>(rows: readonly RowKey[], work: Write<T>): Promise<T> {
    return this.write(rows, work)
  }
}

/** A row cache that caches nothing: every read loads. */
export const withoutCache: RowCache = {
  read: (_table, _id, load) => load(),
  write: (_rows, work) => work(),
  writeIfNew: (_rows, work) => work(),
}
