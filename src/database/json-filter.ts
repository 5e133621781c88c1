import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { readableJson } from './json-entries.ts'
import type { Builder } from './statement.ts'

/** How the dialects spell what they do with the property `m` of a value and the condition `c`. */
interface Spelling {
  conditions(conditions: SQLWrapper): SQL
  properties(value: SQLWrapper): SQL
  /** The fields of the condition. */
  property: SQL
  test: SQL
  values: SQL
  /** Compares the property with the value `v` of the condition, type included. */
  isSame: SQL
  bothNumbers: SQL
  bothTexts: SQL
  /** The property and the first value as numbers, and as texts. */
  numbers: readonly [SQL, SQL]
  texts: readonly [SQL, SQL]
}

const POSTGRES: Spelling = {
  conditions: (conditions) =>
    sql`json_array_elements(${readableJson('postgres', sql`cast(${conditions} as json)`)}) c(value)`,
  properties: (value) =>
    sql`json_each(case when json_typeof(${value}) = 'object' then ${readableJson('postgres', value)} else '{}' end) m`,
  property: sql`(c.value ->> 'property')`,
  test: sql`(c.value ->> 'test')`,
  values: sql`json_array_elements(c.value -> 'values') v(value)`,
  isSame: sql`m.value::text = v.value::text`,
  bothNumbers: sql`json_typeof(m.value) = 'number' and json_typeof(c.value -> 'values' -> 0) = 'number'`,
  bothTexts: sql`json_typeof(m.value) = 'string' and json_typeof(c.value -> 'values' -> 0) = 'string'`,
  numbers: [sql`(m.value::text)::numeric`, sql`(c.value -> 'values' ->> 0)::numeric`],
  texts: [sql`(m.value #>> '{}') collate "C"`, sql`(c.value -> 'values' ->> 0) collate "C"`],
}

const SQLITE: Spelling = {
  conditions: (conditions) => sql`json_each(${readableJson('sqlite', conditions)}) c`,
  properties: (value) =>
    sql`json_each(case when json_type(${value}) = 'object' then ${readableJson('sqlite', value)} else '{}' end) m`,
  property: sql`(c.value ->> '$.property')`,
  test: sql`(c.value ->> '$.test')`,
  values: sql`json_each(c.value, '$.values') v`,
  isSame: sql`m.type = v.type and m.value is v.value`, // true and 1 have one value
  bothNumbers: sql`m.type in ('integer', 'real') and json_type(c.value, '$.values[0]') in ('integer', 'real')`,
  bothTexts: sql`m.type = 'text' and json_type(c.value, '$.values[0]') = 'text'`,
  numbers: [sql`m.value`, sql`(c.value ->> '$.values[0]')`],
  texts: [sql`m.value`, sql`(c.value ->> '$.values[0]')`],
}

/**
 * Returns the condition that a JSON value is an object whose properties pass every test of `conditions`, the JSON text of a
 * `JsonCondition[]`. One statement serves for any conditions.
 */
export function meetsConditions({ dialect }: Pick<Builder, 'dialect'>, value: SQLWrapper, conditions: SQLWrapper): SQL {
  const spelling = dialect === 'postgres' ? POSTGRES : SQLITE
  const { property, test } = spelling
  const isThere = (holds: SQL) =>
    sql`exists (select 1 from ${spelling.properties(value)} where m.key = ${property} and ${holds})`
  const isAny = isThere(sql`exists (select 1 from ${spelling.values} where ${spelling.isSame})`)
  const isInRange = isThere(sql`case when ${spelling.bothNumbers} then ${compared(test, spelling.numbers)}
    when ${spelling.bothTexts} then ${compared(test, spelling.texts)} else false end`)
  return sql`not exists (select 1 from ${spelling.conditions(conditions)} where not case ${test}
    when 'in' then ${isAny} when 'notIn' then not ${isAny} else ${isInRange} end)`
}

function compared(test: SQL, [a, b]: readonly [SQL, SQL]): SQL {
  return sql`case ${test} when 'gt' then ${a} > ${b} when 'gte' then ${a} >= ${b}
    when 'lt' then ${a} < ${b} else ${a} <= ${b} end`
}
