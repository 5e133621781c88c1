import type * as z from 'zod/mini'
import type { Offload, Offloaded } from '../../blobs/attachments/offload.ts'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import { StorageError } from '../../errors.ts'
import type { RepositoryContext } from '../context.ts'
import { currentHomeOf } from '../sessions/home.ts'
import { type Operation, operationOf } from '../sessions/operation.ts'
import type { operationOptionsSchema } from '../sessions/operation-options.ts'
import { type Clock, cachedRowsOf, incarnationOf } from '../sessions/removal.ts'
import type { Written } from './append.ts'
import { type ImportBatch, type OffloadedImport, storeRows } from './import-batch.ts'
import type { Message, messageInputSchema, ParsedImport } from './types.ts'

/** How often the data of a message is stored again because it has gone. */
const MAX_ATTEMPTS = 5

/** Data of a message was erased before the message was stored, or its session was given away: store the data again. */
class DataGone extends Error {}

/** Runs a write of messages, which keeps their data from then on. */
type Keeping = <T>(db: Db, write: (db: Db) => Promise<T>) => Promise<T>

/** Writes messages with what belongs to a write: blobs of their data, the cache, the embedding of their texts. */
export class MessageWriter {
  readonly #db: Db
  readonly #context: RepositoryContext

  constructor(db: Db, context: RepositoryContext) {
    this.#db = db
    this.#context = context
  }

  /** Runs a write that may create the session. It does not change a cached session. */
  async write<Input extends z.output<typeof messageInputSchema>>(
    sessionId: string,
    { operationId, payload = null }: z.output<typeof operationOptionsSchema>,
    inputs: readonly Input[],
    write: (db: Db, inputs: readonly Input[], clock: Clock, operation: Operation | undefined) => Promise<Written>,
  ): Promise<Message[]> {
    const { confirmedNow } = this.#context
    const { messages } = await this.offloaded(sessionId, inputs, operationId, (stored, keeping) => {
      const now = this.#context.now()
      const operation = operationId === undefined ? undefined : operationOf({ sessionId, now }, operationId, payload)
      return this.#context.cache.writeIfNew(
        cachedRowsOf(sessionId),
        (db = this.#db) => keeping(db, (within) => write(within, stored, { now, confirmedNow }, operation)),
        // The session's cached absence from before its creation must be invalidated.
        ({ session }) =>
          session === undefined
            ? { created: true }
            : { created: session.isNew, incarnation: incarnationOf({ id: sessionId, createdAt: session.createdAt }) },
      )
    })
    this.announce(messages)
    return messages
  }

  /**
   * Writes messages as they are to be stored: with the names of blobs in the place of data, if there is an offload. What has
   * no data is written at once, so that close() waits for every such call made before it. `write` runs again if an erasure takes
   * the blobs before their mentions are there, or if the session gets another owner.
   */
  async offloaded<M extends Partial<Message>, T>(
    sessionId: string,
    messages: readonly M[],
    operationId: string | undefined,
    write: (stored: readonly M[], keeping: Keeping) => Promise<T>,
  ): Promise<T> {
    const { offload } = this.#context
    if (offload === undefined || !offload.isNeeded(messages)) return write(messages, (db, work) => work(db))
    for (let attempt = 1; ; attempt++) {
      const owner = await this.#ownerOf(sessionId, this.#db)
      const { stored, blobs } = await offload.messages(messages, { sessionId, owner, operationId })
      const keeping: Keeping = (db, work) =>
        db.transaction(async (tx) => {
          const result = await work(tx)
          if (!(await this.#isKept(sessionId, [blobs], tx))) throw new DataGone()
          return result
        })
      try {
        return await write(stored, keeping)
      } catch (error) {
        if (!(error instanceof DataGone)) throw error
        if (attempt === MAX_ATTEMPTS) throw dataGone(error)
      }
    }
  }

  /** Returns true if the blobs of messages of a session, which `tx` has stored, are those of its owner, and there. */
  async #isKept(sessionId: string, blobs: readonly Offloaded[], tx: Db): Promise<boolean> {
    const owner = await this.#ownerOf(sessionId, tx)
    if (blobs.some((each) => each.owner !== owner)) return false
    const ids = blobs.flatMap((each) => each.ids)
    return (await this.#context.offload?.areThere({ owner, ids }, tx)) !== false
  }

  async #ownerOf(sessionId: string, db: Db): Promise<string> {
    return (await currentHomeOf(db, this.#context, sessionId)).db.owner ?? NOBODY
  }

  /** Has the texts of written messages embedded. */
  announce(messages: readonly Message[]): void {
    const { embedding } = this.#context
    const [first] = messages
    if (embedding === undefined || first === undefined) return
    const seqs = messages.map(({ seq }) => seq)
    embedding.written({ sessionId: first.sessionId, from: Math.min(...seqs), through: Math.max(...seqs) })
  }

  /** Returns a message as it is to be stored, as `offloaded` does: at once if it has no data. */
  offloadedOne(message: ParsedImport): OffloadedImport | Promise<OffloadedImport> {
    const { offload } = this.#context
    return offload?.isNeeded([message]) ? this.#offloadOne(offload, message) : message
  }

  async #offloadOne(offload: Offload, { sessionId, ...message }: ParsedImport): Promise<OffloadedImport> {
    const owner = await this.#ownerOf(sessionId, this.#db)
    const { stored, blobs } = await offload.messages([message], { sessionId, owner })
    return { ...(stored[0] ?? message), sessionId, blobs }
  }

  /**
   * Stores a batch of an import. Returns the number of messages added. See `storeRows`.
   *
   * @throws {DATABASE_FAILED} when data of the messages has been erased, or has another owner than its session. Retryable.
   */
  async store({ rows, blobs }: ImportBatch, options: { areKnown: boolean }): Promise<number> {
    const { cache, confirmedNow, embedding } = this.#context
    const clock = { now: this.#context.now(), confirmedNow }
    const sessions = await cache.writeIfNew(
      [...rows.keys()].flatMap(cachedRowsOf),
      (db = this.#db) => {
        if (blobs.size === 0) return storeRows(db, rows, clock, options)
        return db.transaction(async (tx) => {
          const stored = await storeRows(tx, rows, clock, options)
          for (const [sessionId, named] of blobs) if (!(await this.#isKept(sessionId, named, tx))) throw dataGone()
          return stored
        })
      },
      (added) => {
        const [only] = added
        // A batch of several sessions invalidates all of them.
        if (only === undefined || rows.size > 1) return { created: true }
        return { created: only.isNew, incarnation: incarnationOf({ id: only.sessionId, createdAt: only.createdAt }) }
      },
    )
    let added = 0
    for (const { sessionId, from, through } of sessions) {
      embedding?.written({ sessionId, from, through })
      added += through - from + 1
    }
    return added
  }
}

function dataGone(cause?: unknown): StorageError {
  const message = 'Data of the messages was erased, or their session given away, before they were stored: try again'
  return new StorageError('DATABASE_FAILED', message, { cause, retryable: true })
}
