import { eq, sql } from 'drizzle-orm'
import * as z from 'zod'
import type { Db } from '../../database/db.ts'
import { ignoreReadOnly, readProperty, setProperty } from '../../database/identity.ts'
import { statement } from '../../database/statement.ts'
import { TOKENIZER_VERSION } from '../../search/tokenizer.ts'
import { GENERATION } from './generation.ts'

/** The property that holds how far the index is built. Absent while the search is switched off. */
export const STATE = 'search_state'

/** A place in the walk over all messages: in the session that was created then, before a seq. */
const messagePlaceSchema = z.strictObject({
  createdAt: z.number(),
  id: z.string(),
  /** Undefined stands before all owners. */
  ownerId: z.string().optional(),
  /** Undefined stands at the end of the session. */
  before: z.number().optional(),
})
export type MessagePlace = z.output<typeof messagePlaceSchema>

const stateSchema = z.strictObject({
  tokenizer: z.number(),
  phase: z.enum(['messages', 'memories', 'complete']),
  messages: messagePlaceSchema.optional(),
  memories: z.strictObject({ createdAt: z.number(), id: z.string() }).optional(),
})

/** How far the index is built. Messages come first, the newest sessions before all others, then memories. */
export type SearchState = z.output<typeof stateSchema>

/** Returns the state as it is stored, or undefined if another version of the tokenizer has written it. */
export function parseState(text: string | undefined): SearchState | undefined {
  if (text === undefined) return undefined
  const { data } = stateSchema.safeParse(JSON.parse(text))
  return data?.tokenizer === TOKENIZER_VERSION ? data : undefined
}

/** Returns true if all texts are indexed. */
export function isComplete(text: string | undefined): boolean {
  return parseState(text)?.phase === 'complete'
}

const deleteState = statement(({ orm, tables: { properties: p } }, _: object) =>
  orm.delete(p).where(eq(p.name, sql.raw(`'${STATE}'`))),
)

/**
 * Notes whether this program keeps the index up to date. Begins a new one if no program has kept it until now, or one with
 * other tokens: what was indexed before is found no more, until the backfill has indexed it again. Returns true if it did.
 */
export async function openIndex(db: Db, { search }: { search: boolean }): Promise<boolean> {
  const stored = await readProperty(db, STATE)
  if (!search) {
    // Somebody who does not index is about to write.
    if (stored !== undefined) await deleteState.all(db, {}).catch(ignoreReadOnly)
    return false
  }
  if (parseState(stored) !== undefined) return false
  try {
    await beginIndex(db)
    return true
  } catch (error) {
    ignoreReadOnly(error)
    return false
  }
}

/** Returns true if the last program that was opened keeps the index up to date. */
export async function isIndexed(db: Db): Promise<boolean> {
  return (await readProperty(db, STATE)) !== undefined
}

/** Begins the index anew. */
export async function beginIndex(db: Db): Promise<void> {
  const state: SearchState = { tokenizer: TOKENIZER_VERSION, phase: 'messages' }
  await db.transaction(async (tx) => {
    const generation = Number((await readProperty(tx, GENERATION)) ?? 0) + 1
    await setProperty(tx, GENERATION, String(generation))
    await setProperty(tx, STATE, JSON.stringify(state))
  })
}
