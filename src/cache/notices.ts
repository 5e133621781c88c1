import type { ResolvedPostgres } from '../config/resolved.ts'
import type { Database } from '../database/database.ts'
import { databaseIdentity } from '../database/identity.ts'
import type { PostgresListener } from '../database/postgres/listener.ts'
import type { Query } from '../database/query.ts'
import type { Logger } from '../logger.ts'

/** PostgreSQL accepts a payload of less than 8,000 bytes. */
const MAX_PAYLOAD_BYTES = 7900

const LOST = 'The notices of other instances do not arrive: reads bypass the in-memory cache until they do'
const BACK = 'The notices of other instances arrive again: the in-memory cache is in use'

export interface NoticesOptions {
  /** How the listener connects. */
  config: ResolvedPostgres
  logger: Logger
  /** Removes rows from the cache. */
  invalidate: (table: string, ids: readonly string[]) => void
}

/**
 * Tells the other instances on a PostgreSQL database which cached rows a commit changes, and hears of their commits. A
 * process hears of its own commits as well: a write that failed with CONNECTION_LOST may commit later.
 */
export class Notices {
  readonly #listener: PostgresListener
  readonly #versions: Versions

  private constructor(listener: PostgresListener, versions: Versions) {
    this.#listener = listener
    this.#versions = versions
  }

  /**
   * Starts to listen.
   *
   * @throws {CONNECTION_FAILED} when the listener cannot connect, or hears nothing
   */
  static async open(database: Database, { config, logger, invalidate }: NoticesOptions): Promise<Notices> {
    const { PostgresListener } = await import('../database/postgres/driver.ts') // loaded already: the database is PostgreSQL
    const versions = new Versions()
    const listener = await PostgresListener.open(config, {
      channel: `holdfast_${await databaseIdentity(database)}`,
      send: (query) => database.run(query),
      onNotice: (payload) => apply(payload, versions, invalidate),
      onGap: () => versions.raise(),
      onChange: (listening) => {
        if (listening) logger.info(BACK, { component: 'cache', code: 'NOTICES_BACK' })
        else logger.warn(LOST, { component: 'cache', code: 'NOTICES_LOST' })
      },
    })
    return new Notices(listener, versions)
  }

  /** True if the cache misses no commit that was acknowledged 2 s ago or earlier. */
  get isCurrent(): boolean {
    return this.#listener.isCurrent
  }

  /** Returns a number that grows when all cached rows of the table become invalid. */
  version(table: string): number {
    return this.#versions.of(table)
  }

  /** Returns the statement that tells all instances of the rows as soon as its transaction commits. */
  statement(rows: readonly (readonly [table: string, ids: readonly string[]])[]): Query {
    const payload = JSON.stringify(Object.fromEntries(rows))
    const fits = Buffer.byteLength(payload) <= MAX_PAYLOAD_BYTES
    return this.#listener.notice(
      fits ? payload : JSON.stringify(Object.fromEntries(rows.map(([table]) => [table, null]))),
    )
  }

  /** Stops to listen. Then nothing is current. Safe to repeat. */
  close(): Promise<void> {
    return this.#listener.close()
  }
}

/** Applies a notice: ids by table, or null for a table as a whole. One that this version cannot read concerns everything. */
function apply(payload: string, versions: Versions, invalidate: NoticesOptions['invalidate']): void {
  try {
    for (const [table, ids] of Object.entries(JSON.parse(payload))) {
      if (Array.isArray(ids)) invalidate(table, ids)
      else versions.raise(table)
    }
  } catch {
    versions.raise()
  }
}

/** Numbers that are part of the cache keys: to raise one makes all entries of a table, or of all tables, unreachable. */
class Versions {
  readonly #tables = new Map<string, number>()
  #all = 0

  of(table: string): number {
    return this.#all + (this.#tables.get(table) ?? 0)
  }

  raise(table?: string): void {
    if (table === undefined) this.#all++
    else this.#tables.set(table, (this.#tables.get(table) ?? 0) + 1)
  }
}
