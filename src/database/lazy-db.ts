import type { Db, Dialect, Orm } from './db.ts'
import { ormFor } from './orm.ts'
import type { Query, Row } from './query.ts'

/** A handle on a database, or a transaction, that begins with its first use: what nobody uses costs nothing. */
export class LazyDb implements Db {
  readonly dialect: Dialect
  readonly tables: Db['tables']
  readonly #begin: () => Promise<Db>
  #orm: Orm | undefined

  /** `begin` is asked at each use. */
  constructor({ dialect, tables }: Pick<Db, 'dialect' | 'tables'>, begin: () => Promise<Db>) {
    this.dialect = dialect
    this.tables = tables
    this.#begin = begin
  }

  get orm(): Orm {
    this.#orm ??= ormFor(this.dialect, this)
    return this.#orm
  }

  async run(query: Query): Promise<readonly Row[]> {
    return (await this.#begin()).run(query)
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return (await this.#begin()).batch(queries)
  }

  async transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    return (await this.#begin()).transaction(body)
  }
}
