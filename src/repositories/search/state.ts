import { eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
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
  ownerId: z.optional(z.string()),
  /** Undefined stands at the end of the session. */
  before: z.optional(z.number()),
})
export type MessagePlace = z.output<typeof messagePlaceSchema>

const stateSchema = z.strictObject({
  tokenizer: z.number(),
  /** True if the inputs and outputs of tools are indexed. */
  tools: z.optional(z.literal(true)),
  phase: z.enum(['messages', 'memories', 'complete']),
  /** The transactions that the walk waits for before it begins: see `writersBefore`. */
  writers: z.optional(z.array(z.string())),
  messages: z.optional(messagePlaceSchema),
  memories: z.optional(z.strictObject({ createdAt: z.number(), id: z.string() })),
})

/** How far the index is built. Messages come first, the newest sessions before all others, then memories. */
export type SearchState = z.output<typeof stateSchema>

/**
 * Returns the state as it is stored, or undefined if it is of an index of other tokens: another version of the tokenizer has
 * written it, or a program that indexes other texts.
 */
export function parseState(text: string | undefined, search: Db['search']): SearchState | undefined {
  if (text === undefined) return undefined
  const { data } = stateSchema.safeParse(JSON.parse(text))
  const isSame = data?.tokenizer === TOKENIZER_VERSION && data.tools === toolsOf(search)
  return isSame ? data : undefined
}

function toolsOf(search: Db['search']): true | undefined {
  return search === 'with-tools' ? true : undefined
}

/** Returns true if all texts are indexed. */
export function isComplete(text: string | undefined, search: Db['search']): boolean {
  return parseState(text, search)?.phase === 'complete'
}

const deleteState = statement(({ orm, tables: { properties: p } }, _: object) =>
  orm.delete(p).where(eq(p.name, sql.raw(`'${STATE}'`))),
)

/**
 * Notes whether this program keeps the index up to date. Begins a new one if no program has kept it until now, or one with
 * other tokens: what was indexed before is found no more, until the backfill has indexed it again. Returns true if it did.
 */
export async function openIndex(db: Db): Promise<boolean> {
  const stored = await readProperty(db, STATE)
  if (!db.search) {
    // Somebody who does not index is about to write.
    if (stored !== undefined) await deleteState.all(db, {}).catch(ignoreReadOnly)
    return false
  }
  if (parseState(stored, db.search) !== undefined) return false
  try {
    await beginIndex(db)
    return true
  } catch (error) {
    ignoreReadOnly(error)
    return false
  }
}

/** Returns what the last program that was opened keeps the index up to date with. */
export async function readSearchSetting(db: Db): Promise<Db['search']> {
  const text = await readProperty(db, STATE)
  if (text === undefined) return false
  return stateSchema.safeParse(JSON.parse(text)).data?.tools ? 'with-tools' : true
}

/** Begins the index anew. */
export async function beginIndex(db: Db): Promise<void> {
  const state: SearchState = { tokenizer: TOKENIZER_VERSION, tools: toolsOf(db.search), phase: 'messages' }
  await db.transaction(async (tx) => {
    const generation = Number((await readProperty(tx, GENERATION)) ?? 0) + 1
    await setProperty(tx, GENERATION, String(generation))
    await setProperty(tx, STATE, JSON.stringify(state))
  })
}
