import {
  boolean as pgBoolean,
  customType as pgCustomType,
  foreignKey as pgForeignKey,
  index as pgIndex,
  integer as pgInteger,
  bigint as pgLong,
  primaryKey as pgPrimaryKey,
  pgTable,
  timestamp as pgTimestamp,
  uniqueIndex as pgUniqueIndex,
} from 'drizzle-orm/pg-core'
import {
  customType as sqliteCustomType,
  foreignKey as sqliteForeignKey,
  index as sqliteIndex,
  integer as sqliteInteger,
  primaryKey as sqlitePrimaryKey,
  sqliteTable,
  text as sqliteText,
  uniqueIndex as sqliteUniqueIndex,
} from 'drizzle-orm/sqlite-core'
import type { Json } from './values.ts'

// SQLite orders text by bytes, as COLLATE "C" does: prefix ranges and keyset cursors then mean the same in both dialects.
const pgText = pgCustomType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' })

// `json`, not `jsonb`: it keeps key order and escaped NULs and lone surrogates, so that values come back unchanged.
// Not drizzle's json(): drivers of PostgreSQL return parsed values, and drizzle's json() parses strings a second time.
const toDriver = (value: Json) => JSON.stringify(value)
const pgJson = pgCustomType<{ data: Json; driverData: unknown }>({ dataType: () => 'json', toDriver })
const sqliteJson = sqliteCustomType<{ data: Json; driverData: string }>({
  dataType: () => 'text',
  toDriver,
  fromDriver: (text) => JSON.parse(text) as Json, // JSON.parse is typed any; what it returns is Json
})

/** The vocabulary in which tables are defined, in its PostgreSQL form. */
export const pgColumns = {
  table: pgTable,
  index: pgIndex,
  uniqueIndex: pgUniqueIndex,
  primaryKey: pgPrimaryKey,
  foreignKey: pgForeignKey,
  text: (name: string) => pgText(name),
  integer: (name: string) => pgInteger(name),
  long: (name: string) => pgLong(name, { mode: 'number' }),
  boolean: (name: string) => pgBoolean(name),
  instant: (name: string) => pgTimestamp(name, { withTimezone: true, precision: 3 }),
  json: (name: string) => pgJson(name),
  /** A primary key that the database increments. */
  sequence: (name: string) => pgLong(name, { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
}

/** The same vocabulary in its SQLite form. A type test keeps the two in step. */
export const sqliteColumns = {
  table: sqliteTable,
  index: sqliteIndex,
  uniqueIndex: sqliteUniqueIndex,
  primaryKey: sqlitePrimaryKey,
  foreignKey: sqliteForeignKey,
  text: (name: string) => sqliteText(name),
  integer: (name: string) => sqliteInteger(name),
  long: (name: string) => sqliteInteger(name),
  boolean: (name: string) => sqliteInteger(name, { mode: 'boolean' }),
  instant: (name: string) => sqliteInteger(name, { mode: 'timestamp_ms' }),
  json: (name: string) => sqliteJson(name),
  sequence: (name: string) => sqliteInteger(name).primaryKey({ autoIncrement: true }),
}

export type Columns = typeof pgColumns
