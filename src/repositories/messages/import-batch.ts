import { randomUUID } from 'node:crypto'
import type { Offloaded } from '../../blobs/attachments/offload.ts'
import { insertRows } from '../../database/bulk/insert-rows.ts'
import { bulkTable } from '../../database/bulk/table.ts'
import type { Db } from '../../database/db.ts'
import { namedColumns } from '../../database/looked-up.ts'
import { OwnedDb } from '../../database/owned-db.ts'
import { NOBODY } from '../../database/owner.ts'
import { batch, type Call, rowsStatement } from '../../database/statement.ts'
import { StorageError } from '../../errors.ts'
import type { MessageContent, MessageRole } from '../../schema/values.ts'
import { entriesAt } from '../search/message-entries.ts'
import { activityAt } from '../sessions/activity.ts'
import { type Clock, isWriteConflict, removeExpired } from '../sessions/removal.ts'
import { sessionOf } from './append.ts'
import { type MessageId, messageIds, withIds } from './by-id.ts'
import { allocateSeqs } from './insert.ts'
import { mentionsOfNew } from './mentions.ts'
import type { ParsedImport } from './types.ts'

/** How many messages one transaction stores at most. SQLite's statement of many rows takes all of them without a rest. */
const BATCH_MESSAGES = 1024
/** A batch ends after this much text as well. */
const BATCH_CHARACTERS = 4 * 1024 * 1024

/**
 * A row of `messages`, its cells in the order of the columns. Its JSON is text, which the caller cannot change and nothing has to
 * encode again. Owner and seq are set when the session has allocated the seq; a time that was not given is that of the batch.
 */
type ImportRow = [
  sessionId: string,
  ownerId: string,
  seq: number,
  id: string,
  role: MessageRole,
  content: string | null,
  metadata: string,
  createdAt: number | null,
]

/** Messages by the ids of their sessions, in the order of the source. */
type RowsOfSessions = ReadonlyMap<string, readonly ImportRow[]>

/** A message as it is to be stored, with the blobs of its data if there are any. */
export type OffloadedImport = ParsedImport & { blobs?: Offloaded }

/** Messages that are stored together. */
export class ImportBatch {
  readonly rows = new Map<string, ImportRow[]>()
  /** The blobs of data in the messages, by the ids of the sessions. */
  readonly blobs = new Map<string, Offloaded[]>()
  #messages = 0
  #characters = 0

  /** Number of messages added, repeated ids included. */
  get messages(): number {
    return this.#messages
  }

  get isFull(): boolean {
    return this.#messages >= BATCH_MESSAGES || this.#characters >= BATCH_CHARACTERS
  }

  add({ sessionId, id = randomUUID(), role, content, metadata, createdAt, blobs }: OffloadedImport): void {
    this.#messages++
    if (blobs) this.blobs.set(sessionId, [...(this.blobs.get(sessionId) ?? []), blobs])
    let rows = this.rows.get(sessionId)
    if (rows === undefined) {
      rows = []
      this.rows.set(sessionId, rows)
    }
    const text = content === null ? null : JSON.stringify(content)
    const metadataText = metadata === undefined ? '{}' : JSON.stringify(metadata)
    rows.push([sessionId, NOBODY, 0, id, role, text, metadataText, createdAt?.getTime() ?? null])
    this.#characters += (text?.length ?? 0) + metadataText.length
  }
}

/** The messages that a batch has added to a session: a range of seqs, both ends included. */
interface AddedRange {
  sessionId: string
  from: number
  through: number
  createdAt: Date
  isNew: boolean
}

/**
 * Stores messages in one transaction, except those whose ids their sessions have already. Returns what was added to each
 * session. A taken id rolls the transaction back; then the existing ids are read. With `areKnown`, they are read first.
 */
export async function storeRows(
  db: Db,
  given: RowsOfSessions,
  clock: Clock,
  { areKnown }: { areKnown: boolean },
): Promise<AddedRange[]> {
  const { now } = clock
  let rows = areKnown ? await withoutKnown(db, given, now) : given
  let hasRemoved = false
  while (rows.size > 0) {
    const expired: string[] = []
    try {
      return await insertRowsOf(db, rows, now, expired)
    } catch (error) {
      if (!isWriteConflict(error)) throw error
      if (expired.length > 0 && !hasRemoved) {
        // The conversations start again. Maintenance has not removed them yet.
        for (const id of expired) await removeExpired(db, id, clock)
        hasRemoved = true
        continue
      }
      const missing = await withoutKnown(db, rows, now)
      // No existing message was found: the conflict is not about a message id.
      if (numberOf(missing) === numberOf(rows)) throw error
      rows = missing
    }
  }
  return []
}

/** Allocates the seqs of all sessions and inserts the messages. Adds the sessions that have expired to `expired`, and fails. */
async function insertRowsOf(db: Db, given: RowsOfSessions, now: Date, expired: string[]): Promise<AddedRange[]> {
  // Sorted, so that two imports lock the sessions in one order and cannot deadlock.
  const sessions = [...given].sort(([a], [b]) => (a < b ? -1 : 1))
  return db.transaction(async (tx) => {
    const allocations = sessions.map(([sessionId, rows]) =>
      allocateSeqs.first(tx, { sessionId, ...activityAt(now), count: rows.length }),
    )
    const allocated = await Promise.all(allocations)
    const inserted = new Map<string, ImportRow[]>()
    const added: AddedRange[] = []
    for (const [i, [sessionId, rows]] of sessions.entries()) {
      const session = allocated[i]
      if (session === undefined) {
        expired.push(sessionId)
        continue
      }
      const { ownerId, lastSeq, createdAt } = session
      const stored = inserted.get(ownerId) ?? []
      inserted.set(ownerId, stored)
      let seq = lastSeq - rows.length
      added.push({ sessionId, from: seq + 1, through: lastSeq, ...sessionOf(session, rows.length), createdAt })
      for (const row of rows) {
        row[1] = ownerId
        row[2] = ++seq
        row[7] ??= now.getTime()
        stored.push(row)
      }
    }
    if (expired.length > 0) throw new StorageError('DATABASE_FAILED', 'A session allocated no seqs')
    await insertRows(tx, bulkTable(tx.kit, 'messages'), [...inserted.values()].flat(), { areNew: true })
    for (const [owner, stored] of inserted) {
      const owned = new OwnedDb(tx, owner) // others may have sessions of these ids by now
      const further = [
        ...entriesOf(owned, stored, now),
        ...mentionsOfNew(stored.filter(mayMention).map(messageOf), now),
      ]
      // No batch, which would be a savepoint: nothing goes on if one of them fails.
      await Promise.all(further.map((call) => owned.run(call.query(owned))))
    }
    return added
  })
}

function entriesOf(db: Db, rows: readonly ImportRow[], now: Date): Call<never>[] {
  if (!db.search) return []
  const messages = rows.map(messageOf)
  return entriesAt(
    db,
    messages.map((message) => ({ ...message, content: contentOf(message.content) })),
    now,
  )
}

/** Returns false for most messages, which need not be searched. */
function mayMention([, , , , , content, metadata]: ImportRow): boolean {
  return metadata.includes('blob:') || content?.includes('blob:') === true
}

function messageOf([sessionId, _, seq, id, role, content, metadata]: ImportRow) {
  return { sessionId, seq, id, role, content, metadata }
}

function contentOf(text: string | null): MessageContent {
  return text === null ? null : JSON.parse(text)
}

const selectIds = rowsStatement((db, rows: MessageId[]) => {
  const { messages: m } = db.tables
  const { source, condition } = withIds(db, rows)
  return db.orm
    .select(namedColumns({ sessionId: m.sessionId, id: m.id }))
    .from(source)
    .where(condition)
})

/** Returns the messages that their sessions do not have: of those with one id, the first. */
async function withoutKnown(db: Db, given: RowsOfSessions, now: Date): Promise<RowsOfSessions> {
  const byId = new Map([...given].map(([sessionId, rows]) => [sessionId, firstById(rows)]))
  const calls = [...byId].flatMap(([sessionId, rows]) => selectIds.with(messageIds(sessionId, [...rows.keys()], now)))
  for (const { sessionId, id } of (await batch(db, calls)).flat()) byId.get(sessionId)?.delete(id)
  return new Map(
    [...byId].filter(([, rows]) => rows.size > 0).map(([sessionId, rows]) => [sessionId, [...rows.values()]]),
  )
}

function firstById(rows: readonly ImportRow[]): Map<string, ImportRow> {
  const first = new Map<string, ImportRow>()
  for (const row of rows) if (!first.has(row[3])) first.set(row[3], row)
  return first
}

function numberOf(given: RowsOfSessions): number {
  let number = 0
  for (const { length } of given.values()) number += length
  return number
}
