import {
  customType,
  foreignKey,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'
import { bytesOf } from './bytes-of.ts'
import type { Json } from './values.ts'

const json = customType<{ data: Json; driverData: string }>({
  dataType: () => 'text',
  toDriver: (value) => JSON.stringify(value),
  fromDriver: (text) => JSON.parse(text) as Json, // JSON.parse is typed any; what it returns is Json
})

const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'blob',
  fromDriver: bytesOf,
})

/** The vocabulary of columns.ts in its SQLite form. A type test keeps the two in step. */
export const sqliteColumns = {
  table: sqliteTable,
  index,
  uniqueIndex,
  primaryKey,
  foreignKey,
  text: (name: string) => text(name),
  integer: (name: string) => integer(name),
  long: (name: string) => integer(name),
  boolean: (name: string) => integer(name, { mode: 'boolean' }),
  instant: (name: string) => integer(name, { mode: 'timestamp_ms' }),
  json: (name: string) => json(name),
  bytes: (name: string) => bytes(name),
  terms: (name: string) => text(name),
  owner: () => text('owner_id').notNull().default(''),
  looseSequence: (name: string) => integer(name).primaryKey(),
  sequence: (name: string) => integer(name).primaryKey({ autoIncrement: true }),
}
