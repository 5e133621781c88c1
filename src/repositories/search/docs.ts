import { and, desc, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { isVisible } from '../../database/owner.ts'
import type { Builder } from '../../database/statement.ts'
import { currentGeneration } from './generation.ts'
import type { SearchOrder } from './types.ts'

/** The arguments of a search statement. */
export interface SearchArguments {
  /** The query in the language of the dialect. In SQLite it holds the owner and the session as well. */
  match: string
  /** The query without owner and session, which must not count for the relevance. */
  words: string
  /** The score of the last hit on the previous page. */
  beforeScore: number
  /** The document of that hit. */
  before: number
  limit: number
}

/** The index of one kind of text. */
export interface SearchIndex {
  /** The table with a row for each document. */
  rows: PgTable & { doc: PgColumn; generation: PgColumn }
  /** The column of the tokens in PostgreSQL. */
  terms: PgColumn
  /** The name of the FTS5 table of the tokens in SQLite. */
  fts: string
}

/** How many of the newest entries are looked at one by one, before PostgreSQL's index collects all that match. */
const WINDOW = 256

/**
 * Returns the subquery `found (doc, score)`: the documents of one page that match and meet the conditions, which are about
 * the rows of the index.
 *
 * With the newest first, SQLite walks its index backwards and stops at the limit. PostgreSQL's index has no order: it collects
 * every match, and PostgreSQL sorts them. So PostgreSQL looks through the newest entries first, which fill a page if the word is
 * common. `isNarrow` says that the conditions leave too few entries for that.
 */
export function foundDocs(
  { dialect, tables }: Pick<Builder, 'dialect' | 'tables'>,
  index: SearchIndex,
  { order, isNarrow, conditions }: { order: SearchOrder; isNarrow: boolean; conditions: readonly (SQL | undefined)[] },
  arg: SearchArguments,
): SQL {
  const { rows } = index
  const isCurrent = eq(rows.generation, currentGeneration({ tables }))
  const source = dialect === 'sqlite' ? sqliteSource(index) : sql`${rows}`
  const fits = and(isMatch(dialect, index, arg), isCurrent, ...conditions)
  if (order === 'relevance') {
    const score = scoreOf(dialect, index, arg)
    const scored = sql`select ${rows.doc} as doc, ${score} as score from ${source} where ${fits}`
    const given = sql`cast(${arg.beforeScore} as double precision)`
    const before = sql`cast(${arg.before} as bigint)`
    if (dialect === 'postgres') {
      return sql`(
        select doc, score from (${scored}) as scored where (score, doc) < (${given}, ${before})
        order by score desc, doc desc limit ${arg.limit}
      ) as found`
    }
    // Every write changes what bm25 returns, so the last hit of the page before is scored again. MATERIALIZED keeps SQLite from
    // merging the queries: bm25() works in the first alone.
    return sql`(
      with scored as materialized (${scored})
      select doc, score from scored
      where (score, doc) < (coalesce((select score from scored where doc = ${arg.before}), ${given}), ${before})
      order by score desc, doc desc limit ${arg.limit}
    ) as found`
  }
  if (dialect === 'sqlite') {
    const rowid = sql.raw(`${index.fts}.rowid`)
    return sql`(
      select ${rowid} as doc, null as score from ${source} where ${and(fits, lt(rowid, arg.before))}
      order by ${desc(rowid)} limit ${arg.limit}
    ) as found`
  }
  const isBefore = lt(rows.doc, arg.before)
  // The sum keeps PostgreSQL from a walk along the primary key through every entry. It takes the index of tokens instead.
  const doc = sql`${rows.doc} + 0`
  const collected = (further: SQL | undefined) => sql`(
    select ${rows.doc} as doc, null as score from ${rows} where ${and(fits, further)}
    order by ${doc} desc limit ${arg.limit}
  )`
  if (isNarrow) return sql`${collected(lt(doc, arg.before))} as found`
  const newest = (columns: SQL) =>
    sql`(select ${columns} from ${rows} where ${isBefore} order by ${desc(rows.doc)} limit ${sql.raw(String(WINDOW))})`
  const isOlder = sql`${doc} < (select min(doc) from ${newest(sql`${rows.doc}`)} as newest)`
  const isNeeded = sql`(select count(*) from recent) < ${arg.limit}`
  return sql`(
    with recent as (
      select ${rows.doc} as doc, null as score from ${newest(sql`*`)} as ${rows} where ${fits}
      order by ${desc(rows.doc)} limit ${arg.limit}
    )
    select doc, score from recent union all select doc, score from ${collected(and(isOlder, isNeeded))} as older
    order by doc desc limit ${arg.limit}
  ) as found`
}

/** Returns the source and the condition of all matches, for a query without pages, such as one that groups them. */
export function matches(
  { dialect, tables }: Pick<Builder, 'dialect' | 'tables'>,
  index: SearchIndex,
  arg: Pick<SearchArguments, 'match'>,
): { source: SQL; fits: SQL | undefined } {
  const isCurrent = eq(index.rows.generation, currentGeneration({ tables }))
  const source = dialect === 'sqlite' ? sqliteSource(index) : sql`${index.rows}`
  return { source, fits: and(isMatch(dialect, index, arg), isCurrent) }
}

function sqliteSource({ rows, fts }: SearchIndex): SQL {
  const table = sql.raw(fts)
  return sql`${table} cross join ${rows} on ${rows.doc} = ${table}.rowid`
}

function isMatch(
  dialect: Builder['dialect'],
  { fts, terms }: SearchIndex,
  { match }: Pick<SearchArguments, 'match'>,
): SQL {
  return dialect === 'sqlite' ? sql`${sql.raw(fts)} match ${match}` : sql`${terms} @@ cast(${match} as tsquery)`
}

function scoreOf(dialect: Builder['dialect'], { fts, terms }: SearchIndex, { words }: SearchArguments): SQL {
  // The second column holds the owner and the session, which weigh nothing.
  if (dialect === 'sqlite') return sql`-bm25(${sql.raw(fts)}, 1.0, 0.0)`
  return sql`cast(ts_rank(${terms}, cast(${words} as tsquery)) as double precision)`
}

/**
 * Returns the condition that an entry belongs to the handle's owner, or undefined if the handle has none. In SQLite the query has
 * the owner as well: see match.ts.
 */
export function isOwnEntry(db: Builder, rows: { ownerId: PgColumn }): SQL | undefined {
  return db.owner === undefined ? undefined : and(isVisible(db, rows), ginEquals(db, rows.ownerId, db.owner))
}

/** Returns the condition `column = value` in a form that PostgreSQL's GIN index answers. Undefined in SQLite. */
export function ginEquals({ dialect }: Pick<Builder, 'dialect'>, column: PgColumn, value: string): SQL | undefined {
  return dialect === 'sqlite' ? undefined : sql`array[${column}] @> array[cast(${value} as text)]`
}
