import { getTableColumns, getTableName } from 'drizzle-orm'
import type { SearchSetting } from '../config/types.ts'
import type { Db, Dialect, DialectKit, Orm } from './db.ts'
import type { Query, Row } from './query.ts'

/**
 * A handle on the rows of one owner. It refuses every query that could touch the rows of others, so that no statement can
 * forget the owner.
 */
export class OwnedDb implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Db['tables']
  readonly owner: string
  readonly search: SearchSetting
  readonly #db: Db
  #orm: Orm | undefined

  /** `db` may be any handle on the same database, or on a transaction. */
  constructor(db: Db, owner: string) {
    this.kit = db.kit
    this.dialect = db.dialect
    this.tables = db.tables
    this.owner = owner
    this.search = db.search
    this.#db = db
  }

  get orm(): Orm {
    this.#orm ??= this.kit.ormFor(this)
    return this.#orm
  }

  run(query: Query): Promise<readonly Row[]> {
    return this.#db.run(this.#own(query))
  }

  batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return this.#db.batch(queries.map((query) => this.#own(query)))
  }

  /** Checks a query, and names the owner for row-level security. */
  #own({ sql, params, writes }: Query): Query {
    checkOwner(sql, this.tables)
    return { sql, params, writes, owner: this.owner }
  }

  transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    return this.#db.transaction((tx) => body(new OwnedDb(tx, this.owner)))
  }
}

/** SQL that was checked before. The program has a fixed set of statements. */
const checked = new Set<string>()

/** Throws if a query does not compare, or set, the owner of every table it mentions that has one: a defect of this package. */
function checkOwner(sql: string, tables: Db['tables']): void {
  if (checked.has(sql)) return
  for (const table of Object.values(tables)) {
    if (!('ownerId' in getTableColumns(table))) continue
    const name = getTableName(table)
    const mentions = count(sql, new RegExp(`\\b(?:from|join|update) "${name}"`, 'gi'))
    const conditions = count(sql, new RegExp(`"${name}"\\."owner_id" = |= "${name}"\\."owner_id"`, 'g'))
    const inserts = count(sql, new RegExp(`\\binto "${name}"`, 'gi'))
    const owners = count(sql, new RegExp(`\\binto "${name}" \\([^)]*"owner_id"`, 'gi'))
    if (conditions < mentions || owners < inserts) throw new TypeError(`The owner is missing for ${name} in: ${sql}`)
  }
  checked.add(sql)
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0
}
