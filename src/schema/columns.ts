import {
  bigint,
  boolean,
  customType,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import { bytesOf } from './bytes-of.ts'
import type { Json } from './values.ts'

// SQLite orders text by bytes, as COLLATE "C" does: prefix ranges and keyset cursors then mean the same in both dialects.
const text = customType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' })

// `json`, not `jsonb`: it keeps key order and escaped NULs and lone surrogates, so that values come back unchanged.
// Not drizzle's json(): drivers of PostgreSQL return parsed values, and drizzle's json() parses strings a second time.
const json = customType<{ data: Json; driverData: unknown }>({
  dataType: () => 'json',
  toDriver: (value) => JSON.stringify(value),
})

// Hex text in both directions, as all other values of PostgreSQL are text on the wire.
const bytes = customType<{ data: Uint8Array; driverData: string }>({
  dataType: () => 'bytea',
  toDriver: ({ buffer, byteOffset, byteLength }) => `\\x${Buffer.from(buffer, byteOffset, byteLength).toString('hex')}`,
  fromDriver: (hex) => bytesOf(Buffer.from(hex.slice(2), 'hex')),
})
/** The tokens of a text, written as `'token':1,7 'other':2`. */
const tsvector = customType<{ data: string; driverData: string }>({ dataType: () => 'tsvector' })

/** The vocabulary in which tables are defined, in its PostgreSQL form. sqlite-columns.ts has its SQLite form. */
export const pgColumns = {
  table: pgTable,
  index,
  uniqueIndex,
  primaryKey,
  foreignKey,
  text: (name: string) => text(name),
  integer: (name: string) => integer(name),
  long: (name: string) => bigint(name, { mode: 'number' }),
  boolean: (name: string) => boolean(name),
  instant: (name: string) => timestamp(name, { withTimezone: true, precision: 3 }),
  json: (name: string) => json(name),
  bytes: (name: string) => bytes(name),
  terms: (name: string) => tsvector(name),
  /** Whose row it is. The empty string is nobody: a primary key allows no null. */
  owner: () => text('owner_id').notNull().default(''),
  /** As `sequence`; SQLite may use the number of the last row again after that row is gone. */
  looseSequence: (name: string) => bigint(name, { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  /** A primary key that the database increments. */
  sequence: (name: string) => bigint(name, { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
}

export type Columns = typeof pgColumns
