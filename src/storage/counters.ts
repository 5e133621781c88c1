import { and, count, eq, max, or, type SQL, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'

/** As many are repaired by one call at most, so that its list stays short. */
const MOST = 1000

/** Returns the ids of sessions whose counters differ from their messages. With `repair` counts them again. */
export async function wrongSessions(database: Database, repair: boolean): Promise<string[]> {
  const { sessions: s } = database.tables
  const { counted, last } = messagesOf(database)
  const isWrong = or(sql`${s.messageCount} <> ${counted}`, sql`${s.lastSeq} < ${last}`)
  const wrong = await database.orm.select({ id: s.id, ownerId: s.ownerId }).from(s).where(isWrong).limit(MOST)
  for (const { id, ownerId } of repair ? wrong : []) {
    const isIt = and(eq(s.id, id), eq(s.ownerId, ownerId))
    await database.transaction(async (tx) => {
      // Locks the row: whoever adds or removes messages changes it as well.
      await tx.orm
        .update(s)
        .set({ version: sql`${s.version}` })
        .where(isIt)
      // A statement of its own, so that it counts what others have committed before they gave up the lock.
      const set = {
        messageCount: sql`${counted}`,
        lastSeq: sql`case when ${s.lastSeq} < ${last} then ${last} else ${s.lastSeq} end`,
      }
      await tx.orm.update(s).set(set).where(isIt)
    })
  }
  return wrong.map(({ id }) => id)
}

function messagesOf({ orm, tables: { sessions: s, messages: m } }: Database): { counted: SQL; last: SQL } {
  const isOfSession = and(eq(m.sessionId, s.id), eq(m.ownerId, s.ownerId))
  return {
    counted: sql`(${orm.select({ counted: count() }).from(m).where(isOfSession)})`,
    last: sql`coalesce((${orm
      .select({ last: max(m.seq) })
      .from(m)
      .where(isOfSession)}), 0)`,
  }
}

/** Returns the keys of lists whose length differs from their items. With `repair` counts them again. */
export async function wrongLists(database: Database, repair: boolean): Promise<string[]> {
  const { lists: l, listItems: i } = database.tables
  const isOfList = and(eq(i.ownerId, l.ownerId), eq(i.key, l.key))
  const counted = sql`(${database.orm.select({ counted: count() }).from(i).where(isOfList)})`
  const isWrong = sql`${l.length} <> ${counted}`
  const wrong = await database.orm.select({ key: l.key, ownerId: l.ownerId }).from(l).where(isWrong).limit(MOST)
  for (const { key, ownerId } of repair ? wrong : []) {
    const isIt = and(eq(l.key, key), eq(l.ownerId, ownerId))
    await database.transaction(async (tx) => {
      await tx.orm
        .update(l)
        .set({ length: sql`${l.length}` })
        .where(isIt)
      await tx.orm
        .update(l)
        .set({ length: sql`${counted}` })
        .where(isIt)
    })
  }
  return wrong.map(({ key }) => key)
}
