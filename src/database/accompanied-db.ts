import type { SearchSetting } from '../config/types.ts'
import type { Db, Dialect, DialectKit, Orm } from './db.ts'
import type { Query, Row } from './query.ts'

/** A handle whose every write, batch with a write and transaction also runs one further statement, which commits with it. */
export class AccompaniedDb implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Db['tables']
  readonly owner: Db['owner']
  readonly search: SearchSetting
  readonly #db: Db
  readonly #further: Query
  #orm: Orm | undefined

  constructor(db: Db, further: Query) {
    this.kit = db.kit
    this.dialect = db.dialect
    this.tables = db.tables
    this.owner = db.owner
    this.search = db.search
    this.#db = db
    this.#further = further
  }

  get orm(): Orm {
    this.#orm ??= this.kit.ormFor(this)
    return this.#orm
  }

  async run(query: Query): Promise<readonly Row[]> {
    const [rows = []] = await this.batch([query])
    return rows
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    if (!queries.some((query) => query.writes)) return this.#db.batch(queries)
    return (await this.#db.batch([...queries, this.#further])).slice(0, -1)
  }

  transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    return this.#db.transaction(async (tx) => {
      const result = await body(tx)
      await tx.run(this.#further)
      return result
    })
  }
}
