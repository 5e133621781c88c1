import type { Query, Row } from '../query.ts'
import type { PostgresConnection } from './connection.ts'
import { ANYBODY, visibility } from './row-level-security.ts'

/** Statements that need no row. What a rollback undoes may be a setting. */
const SAVEPOINT = /^(?:savepoint|release|(rollback)) /i

/**
 * The queries of one transaction under row-level security. Before each query comes the command that shows it the rows of its
 * owner, unless they are shown already. The command is pipelined: it costs no round trip. If it failed, the server would
 * refuse the query.
 */
export class VisibleRows {
  readonly #connection: PostgresConnection
  /** Whose rows are shown: undefined if that is not known. */
  #shown: string | undefined

  constructor(connection: PostgresConnection) {
    this.#connection = connection
  }

  /** Begins a transaction that shows the rows of its first query, in one message. Returns it before the server has answered. */
  static begin(
    connection: PostgresConnection,
    begin: string,
    first: Query | undefined,
  ): { rows: VisibleRows; begun: Promise<unknown> } {
    const rows = new VisibleRows(connection)
    rows.#shown = shownTo(first)
    return { rows, begun: connection.begin(`${begin}; ${visibility(rows.#shown)}`) }
  }

  async run(query: Query): Promise<readonly Row[]> {
    const savepoint = query.params.length === 0 ? SAVEPOINT.exec(query.sql) : null
    if (savepoint) {
      if (savepoint[1] !== undefined) this.#shown = undefined
      return this.#connection.run(query)
    }
    const wanted = shownTo(query)
    if (wanted === this.#shown) return this.#connection.run(query)
    this.#shown = wanted
    const [, rows] = await Promise.all([this.#connection.command(visibility(wanted)), this.#connection.run(query)])
    return rows
  }
}

function shownTo({ owner = ANYBODY }: Pick<Query, 'owner'> = {}): string {
  return owner
}
