import { and, eq } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batchOfSession } from '../../database/decided-db.ts'
import { type Statement, statement } from '../../database/statement.ts'
import { vectorsOfChanged } from '../embeddings/carry.ts'
import { entriesOfChanged } from '../search/message-entries.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { messageColumns } from './columns.ts'
import { mentionsOfChanged } from './mentions.ts'
import type { Message } from './types.ts'

type Patch = Partial<Pick<Message, 'role' | 'content' | 'metadata'>>
type Target = { sessionId: string; id: string; now: Date }

/** One compiled statement for each combination of fields to set. */
const statements = new Map<string, Statement<Target & Patch, Message>>()

function updateStatement(fields: readonly (keyof Patch)[]): Statement<Target & Patch, Message> {
  const compiled = statements.get(fields.join())
  if (compiled) return compiled
  const update = statement<Target & Patch, Message>((db, arg) => {
    const { messages: m } = db.tables
    return db.orm
      .update(m)
      .set({ id: arg.id, ...Object.fromEntries(fields.map((field) => [field, arg[field]])) }) // the id in case of no fields
      .where(and(inUnexpiredSession(db, m, arg.sessionId, arg.now), eq(m.id, arg.id)))
      .returning(messageColumns(db.tables))
  })
  statements.set(fields.join(), update)
  return update
}

/**
 * Changes the given fields of a message and, in the same batch, the blobs it mentions. Returns undefined if there is no
 * such message.
 */
export async function updateMessage(
  db: Db,
  sessionId: string,
  id: string,
  patch: Patch,
  now: Date,
): Promise<Message | undefined> {
  const given = Object.entries(patch).filter(([, value]) => value !== undefined)
  const fields = given.map(([field]) => field as keyof Patch) // the keys of a patch
  const update = updateStatement(fields.sort()).with({ sessionId, id, now, ...Object.fromEntries(given) })
  const values = [patch.content, patch.metadata].filter((value) => value !== undefined)
  const mentions = values.length > 0 ? mentionsOfChanged({ sessionId, id }, values, now) : []
  const entries = entriesOfChanged(db, { sessionId, id, now }, patch)
  const vectors = vectorsOfChanged({ sessionId, id, now }, patch)
  const [[updated]] = await batchOfSession(db, { sessionId, now }, [update, ...entries, ...vectors, ...mentions])
  return updated
}
