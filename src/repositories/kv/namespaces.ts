import { and, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { CURSOR, type CursorFormat, cursorOf, decodeCursor } from '../../database/paging/list-query.ts'
import { DEFAULT_LIMIT, type Page, type PageOptions } from '../../database/paging/page.ts'
import { type Builder, statement } from '../../database/statement.ts'
import { BEFORE_KEY, BEFORE_LABEL, BEYOND, type Namespace } from './namespace.ts'
import { isOwn, isPresent } from './statements.ts'

interface Walk {
  /** The range of stored keys. */
  from: string
  before: string
  /** The greatest number of labels of a path, counted from the root. */
  depth: number
  limit: number
  now: Date
}

const LIST: CursorFormat<{ path: string }> = {
  name: 'kv namespaces',
  orderBy: [{ name: 'path', kind: 'text', column: ({ kv }) => kv.key }],
}

/** Greater than every key in the root. */
const END = '\u{10ffff}\u{10ffff}'
/** More labels than a key has room for. */
const ANY_DEPTH = 1024

/** Returns a page of the namespaces below one, as labels. One statement. */
export async function listNamespaces(
  db: Db,
  place: Namespace,
  { depth, limit = DEFAULT_LIMIT, cursor, now }: PageOptions & { depth: number | undefined; now: Date },
): Promise<Page<string[]>> {
  const { from = '', before = END } = place.range()
  const maximum = depth === undefined ? ANY_DEPTH : place.labels.length + depth
  const after = cursor === undefined ? undefined : String(decodeCursor(LIST, cursor)[`${CURSOR}path`])
  const walk = {
    // Without a cursor, starts behind the keys of the namespace itself.
    from: after === undefined ? from.replace(BEFORE_KEY, BEFORE_LABEL) : behind(after, maximum),
    before,
    depth: maximum,
    limit: limit + 1,
    now,
  }
  const rows = await walkNamespaces.all(db, walk)
  const found = rows.slice(0, limit)
  const last = found.at(-1)
  const items = found.map(({ path }) => place.relative(path))
  return rows.length > limit && last ? { items, nextCursor: cursorOf(LIST, last) } : { items }
}

/** Returns where the walk goes on behind a namespace: with those below it, unless they are cut. */
function behind(path: string, depth: number): string {
  return path + (path.split(BEFORE_LABEL).length < depth ? BEFORE_LABEL : BEYOND)
}

/**
 * Jumps from the first key of each namespace to the first key behind it, in the index: a skip scan, as in
 * https://wiki.postgresql.org/wiki/Loose_indexscan.
 */
const walkNamespaces = statement((db, arg: Walk) => {
  const { kv } = db.tables
  const first = (from: SQLWrapper) => {
    const isInRange = sql`${kv.key} >= ${from} and ${kv.key} < cast(${arg.before} as text)`
    return sql`(select ${kv.key} from ${kv} where ${and(isOwn(db), isInRange, isPresent(db, arg.now))} order by ${kv.key} limit 1)`
  }
  const depth = sql`cast(${arg.depth} as integer)`
  const key = sql`walk.key`
  const path = pathOf(db, key)
  const labels = sql`(length(${path}) - length(replace(${path}, ${LABEL}, '')) + 1)`
  const isWhole = sql`${labels} < ${depth}`
  const next = sql`case when ${isInRoot(db, key)} then ${key} || ${KEY} when ${isWhole} then ${path} || ${LABEL}
    else ${firstLabels(db, path, depth)} || ${GREATEST} end`
  const found = sql`(
    with recursive walk(key) as (
      select ${first(sql`cast(${arg.from} as text)`)} union all select ${first(next)} from walk where ${key} is not null)
    select case when ${isWhole} then ${path} else ${firstLabels(db, path, depth)} end as path
    from walk where ${key} is not null and not ${isInRoot(db, key)} limit cast(${arg.limit} as integer)
  ) found`
  return db.orm.select({ path: sql<string>`path` }).from(found)
})

// In the text of the statement: PostgreSQL then knows their type.
const KEY = sql.raw(`'${BEFORE_KEY}'`)
const LABEL = sql.raw(`'${BEFORE_LABEL}'`)
const GREATEST = sql.raw(`'${BEYOND}'`)

function isInRoot({ dialect }: Builder, key: SQL): SQL {
  return dialect === 'postgres' ? sql`strpos(${key}, ${KEY}) = 0` : sql`instr(${key}, ${KEY}) = 0`
}

function pathOf({ dialect }: Builder, key: SQL): SQL {
  if (dialect === 'postgres') return sql`split_part(${key}, ${KEY}, 1)`
  return sql`substr(${key}, 1, instr(${key}, ${KEY}) - 1)`
}

/** Returns the first labels of a path that has at least as many. */
function firstLabels({ dialect }: Builder, path: SQL, count: SQL): SQL {
  if (dialect === 'postgres') return sql`array_to_string((string_to_array(${path}, ${LABEL}))[1:${count}], ${LABEL})`
  return sql`(with recursive cut(at, labels) as (
    select 0, 0 union all
    select at + instr(substr(${path} || ${LABEL}, at + 1), ${LABEL}), labels + 1 from cut where labels < ${count})
    select substr(${path}, 1, max(at) - 1) from cut)`
}
