import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Dialect } from './db.ts'
import type { Builder } from './statement.ts'

/** Returns the properties of a JSON object as a table with the columns `key` and `value`, both text. */
export function textEntries({ dialect }: Pick<Builder, 'dialect'>, object: SQLWrapper): SQL {
  return dialect === 'postgres' ? sql`json_each_text(${object})` : sql`json_each(${object})`
}

/**
 * Returns a JSON value with U+FFFD in place of NUL and of halves of surrogate pairs. PostgreSQL stores them in JSON, but fails
 * with an error as soon as it looks inside such a value.
 */
export function readableJson(dialect: Dialect, value: SQLWrapper): SQL {
  if (dialect === 'sqlite') return sql`replace(${value}, '\\u0000', '\\ufffd')`
  return sql`case when strpos(${value}::text, '\\u') = 0 then ${value}
    else cast(regexp_replace(${value}::text, '\\\\u(0000|d[89a-f][0-9a-f]{2})', '\\ufffd', 'g') as json) end`
}
