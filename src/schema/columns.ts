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

// Byte order ("C") is the order SQLite uses: prefix ranges and keyset cursors then mean the same everywhere.
const pgText = pgCustomType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' })

// `json`, not `jsonb`: it keeps key order and escapes of NUL and of lone surrogates, so what was given comes back.
// Not drizzle's json(): the drivers of PostgreSQL have parsed what they return, and that one parses strings again.
const toDriver = (value: Json) => JSON.stringify(value)
const pgJson = pgCustomType<{ data: Json; driverData: unknown }>({ dataType: () => 'json', toDriver })
const sqliteJson = sqliteCustomType<{ data: Json; driverData: string }>({
  dataType: () => 'text',
  toDriver,
  fromDriver: (text) => JSON.parse(text) as Json, // JSON.parse is typed any; what it returns is Json
})

/** The words tables are written in, as PostgreSQL says them. */
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
  /** A primary key that the database counts up. */
  sequence: (name: string) => pgLong(name, { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
}

/** The same words, as SQLite says them. A type test holds the two together. */
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
