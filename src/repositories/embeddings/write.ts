import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '../../database/db.ts'
import { batch, rowsStatement, statement } from '../../database/statement.ts'
import { textOfMessage } from '../../search/message-text.ts'
import { bytesOfVector, hashOfText } from '../../search/vectors.ts'
import type { MemoryKey, MessageKey, PendingText } from './pending.ts'
import { conversionOf } from './pgvector.ts'

/** The vector of a text: null if the text is empty. */
export interface Embedded {
  pending: PendingText
  textHash: string
  vector: Float32Array | null
}

// All lock the text until the transaction ends, so that no update comes between. Of texts that are stored together, those that
// a transaction has locked are passed over: it may wait for another of them, and one of the two would be rolled back.
const lockMessage = { orPass: messageLock(true), orWait: messageLock(false) }
const lockMemory = { orPass: memoryLock(true), orWait: memoryLock(false) }

function messageLock(skipsLocked: boolean) {
  return statement((db, arg: MessageKey) => {
    const { messages: m } = db.tables
    const isMessage = and(eq(m.sessionId, arg.sessionId), eq(m.ownerId, arg.ownerId), eq(m.seq, arg.seq))
    const select = db.orm.select({ content: m.content }).from(m).where(isMessage)
    return db.dialect === 'postgres' ? select.for('share', skipsLocked ? { skipLocked: true } : {}) : select
  })
}

function memoryLock(skipsLocked: boolean) {
  return statement((db, arg: { memoryId: string }) => {
    const { memories: m } = db.tables
    const select = db.orm.select({ content: m.content }).from(m).where(eq(m.id, arg.memoryId))
    return db.dialect === 'postgres' ? select.for('share', skipsLocked ? { skipLocked: true } : {}) : select
  })
}

interface Row {
  // The columns that both tables have.
  model: string
  textHash: string
  vector: Uint8Array | null
}

const replaced = { textHash: sql`excluded.text_hash`, vector: sql`excluded.vector` }

const insertMessages = rowsStatement(({ orm, tables: { messageEmbeddings: e } }, rows: (MessageKey & Row)[]) =>
  orm
    .insert(e)
    .values(
      rows.map(({ sessionId, ownerId, seq, model, textHash, vector }) => {
        return { sessionId, ownerId, seq, model, textHash, vector }
      }),
    )
    .onConflictDoUpdate({ target: [e.sessionId, e.ownerId, e.seq, e.model], set: replaced }),
)

const insertMemories = rowsStatement(({ orm, tables: { memoryEmbeddings: e } }, rows: (MemoryKey & Row)[]) =>
  orm
    .insert(e)
    .values(
      rows.map(({ memoryId, ownerId, model, textHash, vector }) => ({ memoryId, ownerId, model, textHash, vector })),
    )
    .onConflictDoUpdate({ target: [e.memoryId, e.model], set: replaced }),
)

/**
 * Stores vectors, also as pgvector has them if that is enabled, in the schema `pgvector`. A text that was changed or removed
 * since the model got it is left out: whoever changed it has announced it again. Returns the number stored.
 */
export async function storeVectors(
  db: Db,
  model: string,
  embedded: readonly Embedded[],
  pgvector: string | undefined,
): Promise<number> {
  const { stored, missing } = await store(db, model, embedded, { pgvector, ifLocked: 'orPass' })
  let total = stored
  if (db.dialect === 'sqlite') return total // it locks no rows: what is missing was removed
  // One by one: who waits for a text holds no other.
  for (const each of missing) total += (await store(db, model, [each], { pgvector, ifLocked: 'orWait' })).stored
  return total
}

/** Stores vectors in one transaction. Returns the number stored, and the texts that are removed, or passed over. */
function store(
  db: Db,
  model: string,
  embedded: readonly Embedded[],
  { pgvector, ifLocked }: { pgvector: string | undefined; ifLocked: keyof typeof lockMessage },
): Promise<{ stored: number; missing: Embedded[] }> {
  return db.transaction(async (tx) => {
    const contents = await batch(
      tx,
      embedded.map(({ pending }) =>
        pending.kind === 'message' ? lockMessage[ifLocked].with(pending.key) : lockMemory[ifLocked].with(pending.key),
      ),
    )
    // By their keys: PostgreSQL refuses a statement that writes a row twice, and a text may have been found twice.
    const messages = new Map<string, MessageKey & Row>()
    const memories = new Map<string, MemoryKey & Row>()
    for (const [i, { pending, textHash, vector }] of embedded.entries()) {
      const [found] = contents[i] ?? []
      if (found === undefined || hashOfText(textOfMessage(found.content)) !== textHash) continue
      const row = { model, textHash, vector: vector && bytesOfVector(vector) }
      const key = JSON.stringify(pending.key)
      if (pending.kind === 'message') messages.set(key, { ...pending.key, ...row })
      else memories.set(key, { ...pending.key, ...row })
    }
    await batch(tx, [
      ...insertMessages.with([...messages.values()]),
      ...insertMemories.with([...memories.values()]),
      ...(pgvector === undefined
        ? []
        : [...messages.values(), ...memories.values()].flatMap((row) => conversionOf(row, pgvector))),
    ])
    const missing = embedded.filter((_, i) => contents[i]?.[0] === undefined)
    return { stored: messages.size + memories.size, missing }
  })
}
