import type { Db, Dialect, DialectKit, Orm } from './db.ts'
import type { Query, Row } from './query.ts'

/** A handle on a database or transaction that is opened on first use. */
export class LazyDb implements Db {
  readonly kit: DialectKit
  readonly dialect: Dialect
  readonly tables: Db['tables']
  readonly owner = undefined
  readonly search = false // records of blobs are not searched
  readonly #open: () => Promise<Db>
  #orm: Orm | undefined

  /** `open` is called at every use and has to open only once. */
  constructor(kit: DialectKit, open: () => Promise<Db>) {
    this.kit = kit
    this.dialect = kit.dialect
    this.tables = kit.tables
    this.#open = open
  }

  get orm(): Orm {
    this.#orm ??= this.kit.ormFor(this)
    return this.#orm
  }

  async run(query: Query): Promise<readonly Row[]> {
    return (await this.#open()).run(query)
  }

  async batch(queries: readonly Query[]): Promise<(readonly Row[])[]> {
    return (await this.#open()).batch(queries)
  }

  async transaction<T>(body: (tx: Db) => Promise<T>): Promise<T> {
    return (await this.#open()).transaction(body)
  }
}
