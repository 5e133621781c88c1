import type * as z from 'zod/mini'
import type { Db } from '../../database/db.ts'
import { NOBODY } from '../../database/owner.ts'
import type { RepositoryContext } from '../context.ts'
import { currentHomeOf } from '../sessions/home.ts'
import { type Operation, operationOf } from '../sessions/operation.ts'
import type { operationOptionsSchema } from '../sessions/operation-options.ts'
import { type Clock, cachedRowsOf, incarnationOf } from '../sessions/removal.ts'
import type { Written } from './append.ts'
import { type ImportBatch, storeRows } from './import-batch.ts'
import type { Message, messageInputSchema, ParsedImport } from './types.ts'

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
    const { messages } = await this.offloaded(sessionId, inputs, operationId, (stored) => {
      const now = this.#context.now()
      const operation = operationId === undefined ? undefined : operationOf({ sessionId, now }, operationId, payload)
      return this.#context.cache.writeIfNew(
        cachedRowsOf(sessionId),
        (db = this.#db) => write(db, stored, { now, confirmedNow }, operation),
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
   * no data is written at once, so that close() waits for every such call made before it.
   */
  async offloaded<M extends Partial<Message>, T>(
    sessionId: string,
    messages: readonly M[],
    operationId: string | undefined,
    write: (stored: readonly M[]) => Promise<T>,
  ): Promise<T> {
    const { offload } = this.#context
    if (offload === undefined || !offload.isNeeded(messages)) return write(messages)
    const owner = (await currentHomeOf(this.#db, this.#context, sessionId)).db.owner ?? NOBODY
    return write(await offload.messages(messages, { sessionId, owner, operationId }))
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
  offloadedOne(message: ParsedImport): ParsedImport | Promise<ParsedImport> {
    if (!this.#context.offload?.isNeeded([message])) return message
    const { sessionId, ...given } = message
    return this.offloaded(sessionId, [given], undefined, async ([stored = given]) => ({ ...stored, sessionId }))
  }

  /** Stores a batch of an import. Returns the number of messages added. See `storeRows`. */
  async store({ rows }: ImportBatch, options: { areKnown: boolean }): Promise<number> {
    const { cache, confirmedNow, embedding } = this.#context
    const clock = { now: this.#context.now(), confirmedNow }
    const sessions = await cache.writeIfNew(
      [...rows.keys()].flatMap(cachedRowsOf),
      (db = this.#db) => storeRows(db, rows, clock, options),
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
