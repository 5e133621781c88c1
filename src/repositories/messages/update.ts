import { and, eq } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, type Statement, statement } from '../../database/statement.ts'
import { inUnexpiredSession } from '../sessions/unexpired.ts'
import { mentionsOfChanged } from './references.ts'
import type { Message } from './types.ts'

type Patch = Partial<Pick<Message, 'role' | 'content' | 'metadata'>>
type Target = { sessionId: string; id: string; now: Date }

/** By the fields that they set. */
const statements = new Map<string, Statement<Target & Patch, Message>>()

function updateOf(fields: readonly (keyof Patch)[]): Statement<Target & Patch, Message> {
  const known = statements.get(fields.join())
  if (known) return known
  const made = statement<Target & Patch, Message>(({ orm, tables }, arg) => {
    const { messages: m } = tables
    return orm
      .update(m)
      .set({ id: arg.id, ...Object.fromEntries(fields.map((field) => [field, arg[field]])) }) // the id: for no fields
      .where(and(eq(m.sessionId, arg.sessionId), eq(m.id, arg.id), inUnexpiredSession(tables, arg.sessionId, arg.now)))
      .returning()
  })
  statements.set(fields.join(), made)
  return made
}

/** Changes the given fields and, in the same batch, the blobs that are mentioned; undefined where there is none. */
export async function updateMessage(
  db: Db,
  sessionId: string,
  id: string,
  patch: Patch,
  now: Date,
): Promise<Message | undefined> {
  const given = Object.entries(patch).filter(([, value]) => value !== undefined)
  const fields = given.map(([field]) => field as keyof Patch) // the keys of a patch
  const update = updateOf(fields.sort()).with({ sessionId, id, now, ...Object.fromEntries(given) })
  const values = [patch.content, patch.metadata].filter((value) => value !== undefined)
  const mentions = values.length > 0 ? mentionsOfChanged({ sessionId, id }, values, now) : []
  const [[updated]] = await batch(db, [update, ...mentions])
  return updated
}
