import { eq, sql } from 'drizzle-orm'
import { notExpired } from '../../database/expiry.ts'
import { isNamed, isVisible, ofOwner } from '../../database/owner.ts'
import { pagedQuery } from '../../database/paging/list-query.ts'
import { statement } from '../../database/statement.ts'
import type { Tables } from '../../schema/tables.ts'
import type { JsonObject } from '../../schema/values.ts'
import type { Session } from './types.ts'
import { isUnexpiredSession } from './unexpired.ts'

/** Lists the columns of a `Session`. An append changes none of them, so a cached session stays valid. */
export const sessionColumns = ({ sessions: s }: Tables) => ({
  id: s.id,
  title: s.title,
  ownerId: s.ownerId,
  metadata: s.metadata,
  version: s.version,
  parentId: s.parentId,
  createdAt: s.createdAt,
  updatedAt: s.updatedAt,
  expiresAt: s.expiresAt,
})

type NewSession = Omit<Session, 'parentId'>

export const insertSession = statement(
  ({ orm, tables }, { id, ownerId, title, metadata, version, createdAt, updatedAt, expiresAt }: NewSession) =>
    orm
      .insert(tables.sessions)
      .values({
        id,
        ownerId,
        title,
        metadata,
        version,
        parentId: null,
        createdAt,
        updatedAt,
        expiresAt,
        lastSeq: 0,
        messageCount: 0,
        lastActiveAt: createdAt,
      })
      .onConflictDoNothing()
      .returning(sessionColumns(tables)),
)

export const selectSession = statement((db, arg: { id: string; now: Date }) =>
  db.orm
    .select(sessionColumns(db.tables))
    .from(db.tables.sessions)
    .where(isUnexpiredSession(db, arg.id, arg.now)),
)

export const selectSummary = statement((db, arg: { id: string; now: Date }) =>
  db.orm
    .select()
    .from(db.tables.sessions)
    .where(isUnexpiredSession(db, arg.id, arg.now)),
)

export const listSummaries = {
  lastActiveAt: summariesBy('sessions', 'lastActiveAt'),
  createdAt: summariesBy('sessions by createdAt', 'createdAt'),
}

/** Lists the sessions that were forked from one, whose owner they have. */
export const listForks = pagedQuery({
  name: 'forks',
  select: ({ orm, tables }) => orm.select().from(tables.sessions),
  visible: () => undefined, // the owner is always given
  filters: {
    now: ({ sessions }, now: Date) => notExpired(sessions, now),
    parentId: ({ sessions }, parentId: string) => eq(sessions.parentId, parentId),
    ownerId: ({ sessions }, ownerId: string) => eq(sessions.ownerId, ownerId),
  },
  orderBy: [
    { name: 'createdAt', kind: 'instant', column: ({ sessions }) => sessions.createdAt },
    { name: 'id', kind: 'text', column: ({ sessions }) => sessions.id },
  ],
})

function summariesBy(name: string, column: 'lastActiveAt' | 'createdAt') {
  return pagedQuery({
    name,
    select: ({ orm, tables }) => orm.select().from(tables.sessions),
    visible: (db) => isVisible(db, db.tables.sessions),
    filters: {
      now: ({ sessions }, now: Date) => notExpired(sessions, now),
      ownerId: ({ sessions }, ownerId: string) => ofOwner(sessions, ownerId),
    },
    orderBy: [
      { name: column, kind: 'instant', column: ({ sessions }) => sessions[column] },
      { name: 'id', kind: 'text', column: ({ sessions }) => sessions.id },
      { name: 'ownerId', kind: 'text', column: ({ sessions }) => sessions.ownerId },
    ],
  })
}

/** Locks a session until the transaction ends. Returns no row if there is no such session. */
export const lockSession = statement((db, arg: { id: string; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ lastSeq: sql`${s.lastSeq}` })
    .where(isUnexpiredSession(db, arg.id, arg.now))
    .returning({ id: s.id })
})

/** Raises the version, which locks the row until the transaction ends, and returns the metadata to merge into. */
export const lockAndRaiseVersion = statement((db, arg: { id: string; now: Date }) => {
  const { sessions: s } = db.tables
  return db.orm
    .update(s)
    .set({ version: sql`${s.version} + 1`, updatedAt: arg.now })
    .where(isUnexpiredSession(db, arg.id, arg.now))
    .returning({ metadata: s.metadata })
})

export const updateMetadata = statement((db, arg: { id: string; metadata: JsonObject }) =>
  db.orm
    .update(db.tables.sessions)
    .set({ metadata: arg.metadata })
    .where(isNamed(db, db.tables.sessions, arg.id))
    .returning(sessionColumns(db.tables)),
)
