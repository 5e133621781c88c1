import { and, eq, lte, type SQL, sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import { meetsConditions } from '../../database/json-filter.ts'
import { lookedUp, namedColumns } from '../../database/looked-up.ts'
import { ownerOfNames } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { prefixFilters } from '../../database/paging/prefix-range.ts'
import { type Builder, rowsStatement, statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { Json } from '../../schema/values.ts'
import { withUnexpiredSession } from '../sessions/unexpired.ts'

/** Lists the columns of a `KvEntry`. */
const entryColumns = ({ kv }: Tables) => ({
  key: kv.key,
  sessionId: kv.sessionId,
  value: kv.value,
  version: kv.version,
  createdAt: kv.createdAt,
  updatedAt: kv.updatedAt,
  expiresAt: kv.expiresAt,
})

export const isOwn = (db: Builder) => eq(db.tables.kv.ownerId, ownerOfNames(db))

/** Returns the condition that an entry has not expired, nor has its session. */
export function isPresent(db: Builder, now: Date): SQL {
  const { kv } = db.tables
  return and(notExpired(kv, now), withUnexpiredSession(db, kv, now)) as SQL // given two conditions
}

const isEntry = (db: Builder, key: string) => and(isOwn(db), eq(db.tables.kv.key, key))

export const selectEntry = statement((db, arg: { key: string; now: Date }) => {
  const { kv } = db.tables
  return db.orm
    .select(entryColumns(db.tables))
    .from(kv)
    .where(and(isEntry(db, arg.key), isPresent(db, arg.now)))
})

export const selectEntries = rowsStatement((db, rows: { key: string; now: Date }[]) => {
  const { kv } = db.tables
  const keys = rows.map(({ key }) => key)
  const { source, condition } = lookedUp(db, { table: kv, column: kv.key, scope: isOwn(db) }, keys)
  return db.orm
    .select(namedColumns(entryColumns(db.tables)))
    .from(source)
    .where(and(condition, rows[0] && isPresent(db, rows[0].now)))
})

export interface EntryWrite {
  key: string
  sessionId: string | null
  value: Json
  now: Date
  expiresAt: Date | null
}

/** Replaces an expired entry as if there were none: its version and its creation time start again. */
export const upsertEntry = statement((db, arg: EntryWrite) => {
  const { kv } = db.tables
  const ifExpired = (restarted: SQL, kept: SQL) =>
    sql`case when ${isPresent(db, arg.now)} then ${kept} else ${restarted} end`
  return db.orm
    .insert(kv)
    .values(firstVersion(db, arg))
    .onConflictDoUpdate({
      target: [kv.ownerId, kv.key],
      set: {
        sessionId: arg.sessionId,
        value: arg.value,
        version: ifExpired(sql`1`, sql`${kv.version} + 1`),
        createdAt: ifExpired(sql`excluded.created_at`, sql`${kv.createdAt}`),
        updatedAt: arg.now,
        expiresAt: arg.expiresAt,
      },
    })
    .returning(entryColumns(db.tables))
})

/** Writes entries of different keys. Like `upsertEntry`. */
export const upsertEntries = rowsStatement((db, rows: EntryWrite[]) => {
  const { kv, sessions } = db.tables
  const isSession = and(eq(sessions.id, kv.sessionId), eq(sessions.ownerId, kv.ownerId))
  const isSessionExpired = sql`(select ${sessions.expiresAt} <= excluded.updated_at from ${sessions} where ${isSession})`
  const isExpired = sql`(${kv.expiresAt} <= excluded.updated_at or ${isSessionExpired})`
  return db.orm
    .insert(kv)
    .values(rows.map((row) => firstVersion(db, row)))
    .onConflictDoUpdate({
      target: [kv.ownerId, kv.key],
      set: {
        sessionId: sql`excluded.session_id`,
        value: sql`excluded.value`,
        version: sql`case when ${isExpired} then 1 else ${kv.version} + 1 end`,
        createdAt: sql`case when ${isExpired} then excluded.created_at else ${kv.createdAt} end`,
        updatedAt: sql`excluded.updated_at`,
        expiresAt: sql`excluded.expires_at`,
      },
    })
    .returning(entryColumns(db.tables))
})

export const updateEntryIfVersion = statement((db, arg: EntryWrite & { ifVersion: number }) => {
  const { kv } = db.tables
  return db.orm
    .update(kv)
    .set({
      sessionId: arg.sessionId,
      value: arg.value,
      version: sql`${kv.version} + 1`,
      updatedAt: arg.now,
      expiresAt: arg.expiresAt,
    })
    .where(and(isEntry(db, arg.key), eq(kv.version, arg.ifVersion), isPresent(db, arg.now)))
    .returning(entryColumns(db.tables))
})

export const insertEntryIfAbsent = statement((db, arg: EntryWrite) => {
  const { kv } = db.tables
  const { ownerId: _, ...set } = firstVersion(db, arg)
  return db.orm
    .insert(kv)
    .values(firstVersion(db, arg))
    .onConflictDoUpdate({ target: [kv.ownerId, kv.key], set, setWhere: sql`not ${isPresent(db, arg.now)}` })
    .returning(entryColumns(db.tables))
})

function firstVersion(db: Builder, { key, sessionId, value, now, expiresAt }: EntryWrite) {
  return { ownerId: ownerOfNames(db), key, sessionId, value, version: 1, createdAt: now, updatedAt: now, expiresAt }
}

/** Leaves an entry to maintenance whose session has expired. */
export const deleteEntry = statement((db, arg: { key: string; now: Date }) => {
  const { kv } = db.tables
  return db.orm
    .delete(kv)
    .where(and(isEntry(db, arg.key), withUnexpiredSession(db, kv, arg.now)))
    .returning({ expiresAt: kv.expiresAt })
})

/** `keys` is a JSON array. A parameter for each key would make PostgreSQL compare each row of the owner with each key. */
export const deleteEntries = statement((db, arg: { keys: string; now: Date }) => {
  const { kv } = db.tables
  const isGiven =
    db.dialect === 'sqlite'
      ? sql`${kv.key} in (select value from json_each(${arg.keys}))`
      : sql`${kv.key} = any(array(select json_array_elements_text(cast(${arg.keys} as json))))`
  return db.orm
    .delete(kv)
    .where(and(isOwn(db), isGiven, withUnexpiredSession(db, kv, arg.now)))
    .returning({ expiresAt: kv.expiresAt })
})

/** Removes entries of all owners. */
export const deleteExpiredBatch = statement(({ orm, tables: { kv } }, arg: { now: Date }) => {
  const isExpired = lte(kv.expiresAt, arg.now)
  // The order, and a limit that the planner knows, make PostgreSQL take the index instead of the first rows it finds.
  const expired = orm
    .select({ ownerId: kv.ownerId, key: kv.key })
    .from(kv)
    .where(isExpired)
    .orderBy(kv.expiresAt)
    .limit(EXPIRED_BATCH_SIZE)
  return orm
    .delete(kv)
    .where(and(isExpired, sql`(${kv.ownerId}, ${kv.key}) in ${expired}`))
    .returning({ key: kv.key })
})

const inOrderOfKeys = {
  visible: isOwn,
  filters: {
    now: (_: Tables, now: Date, db: Builder) => isPresent(db, now),
    ...prefixFilters(({ kv }) => kv.key),
    where: ({ kv }: Tables, conditions: string, db: Builder) => meetsConditions(db, kv.value, sql`${conditions}`),
  },
  orderBy: [{ name: 'key', kind: 'text', column: ({ kv }: Tables) => kv.key }],
} as const

export const listEntries = pagedQuery({
  name: 'kv',
  select: ({ orm, tables }) => orm.select(entryColumns(tables)).from(tables.kv),
  ...inOrderOfKeys,
})

/** Does not read the values, which are most of the bytes. */
export const listKeys = pagedQuery({
  name: 'kv keys',
  select: ({ orm, tables: { kv } }) => orm.select({ key: kv.key }).from(kv),
  ...inOrderOfKeys,
})

/** How many expired entries one statement removes. */
export const EXPIRED_BATCH_SIZE = 1000
