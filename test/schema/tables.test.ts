import { getTableName, type SQL } from 'drizzle-orm'
import * as pg from 'drizzle-orm/pg-core'
import * as lite from 'drizzle-orm/sqlite-core'
import { describe, expect, test } from 'vitest'
import * as postgres from '../../src/schema/postgres.ts'
import * as sqlite from '../../src/schema/sqlite.ts'

type PgConfig = ReturnType<typeof pg.getTableConfig>
type LiteConfig = ReturnType<typeof lite.getTableConfig>
interface Index {
  name: string | undefined
  columns: (string | undefined)[]
  unique: boolean
  where: string | undefined
}
type Columns = readonly { name: string }[]

const names = (columns: Columns) => columns.map(({ name }) => name)
const byName = (a: { name?: string }, b: { name?: string }) => String(a.name).localeCompare(String(b.name))

const render = {
  postgres: (condition: SQL | undefined) => condition && new pg.PgDialect().sqlToQuery(condition).sql,
  sqlite: (condition: SQL | undefined) => condition && new lite.SQLiteAsyncDialect().sqlToQuery(condition).sql,
}

/** Returns what must be the same in both dialects, under the same names. */
function shapeOf({ name, columns, primaryKeys, foreignKeys }: PgConfig | LiteConfig, indexes: Index[]) {
  const single = columns.filter(({ primary }) => primary)
  return {
    name,
    columns: columns.map(({ name, notNull, primary, hasDefault }) => {
      const hasOwnDefault = hasDefault && !primary // SQLite generates any integer key
      return { name, notNull, primary, hasDefault: hasOwnDefault }
    }),
    primaryKey: single.length > 0 ? names(single) : primaryKeys.flatMap((key) => names(key.columns)),
    foreignKeys: foreignKeys
      .map((key) => {
        const { columns, foreignColumns, foreignTable } = key.reference()
        const { onDelete = 'no action', onUpdate = 'no action' } = key
        return { from: names(columns), to: [getTableName(foreignTable), ...names(foreignColumns)], onDelete, onUpdate }
      })
      .sort((a, b) => a.from.join().localeCompare(b.from.join())),
    indexes,
  }
}

function postgresShape(table: pg.PgTable) {
  const config = pg.getTableConfig(table)
  const indexes = config.indexes.map(({ config: { name, columns, unique, where } }) => ({
    name,
    columns: columns.map((column) => ('name' in column ? column.name : 'an expression')),
    unique,
    where: render.postgres(where),
  }))
  return shapeOf(config, indexes.sort(byName))
}

function sqliteShape(table: lite.SQLiteTable) {
  const config = lite.getTableConfig(table)
  const indexes = config.indexes.map(({ config: { name, columns, unique, where } }) => ({
    name,
    columns: columns.map((column) => ('name' in column ? column.name : 'an expression')),
    unique,
    where: render.sqlite(where),
  }))
  return shapeOf(config, indexes.sort(byName))
}

const sqliteTables: Record<string, lite.SQLiteTable> = sqlite

test('both dialects have the same tables', () => {
  expect(Object.keys(sqlite)).toEqual(Object.keys(postgres))
  expect(Object.keys(postgres)).toContain('sessions')
})

describe.each(Object.entries(postgres))('the table %s', (name, table) => {
  test('is the same in both dialects', () => {
    const twin = sqliteTables[name]
    expect(twin && sqliteShape(twin)).toEqual(postgresShape(table))
  })

  test('has a primary key and snake_case names', () => {
    const shape = postgresShape(table)
    expect(shape.primaryKey).not.toEqual([])
    for (const identifier of [shape.name, ...names(shape.columns)]) expect(identifier).toMatch(/^[a-z]+(_[a-z]+)*$/)
  })

  test('has an index for each of its foreign keys', () => {
    const { primaryKey, foreignKeys, indexes } = postgresShape(table)
    const indexed = [primaryKey, ...indexes.map(({ columns }) => columns)]
    for (const { from } of foreignKeys) {
      expect(indexed.filter((columns) => columns.slice(0, from.length).join() === from.join())).not.toEqual([])
    }
  })
})
