import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Builder } from './statement.ts'

/** Returns the properties of a JSON object as a table with the columns `key` and `value`, both text. */
export function textEntries({ dialect }: Pick<Builder, 'dialect'>, object: SQLWrapper): SQL {
  return dialect === 'postgres' ? sql`json_each_text(${object})` : sql`json_each(${object})`
}

/**
 * Returns the condition that a JSON object has every property of `expected`, each with the same JSON text as value.
 * `expected` is JSON text.
 */
export function hasProperties({ dialect }: Pick<Builder, 'dialect'>, object: SQLWrapper, expected: SQLWrapper): SQL {
  const [entries, isSame] =
    dialect === 'postgres'
      ? [sql`json_each(cast(${expected} as json))`, sql`m.value::text = f.value::text`]
      : [sql`json_each(${expected})`, sql`m.type = f.type and m.value is f.value`] // true and 1 have one value
  return sql`not exists (select 1 from ${entries} f where not exists (
    select 1 from json_each(${object}) m where m.key = f.key and ${isSame}))`
}
