import * as z from 'zod/mini'
import type { BlobLayer, TransactionBlobs } from '../blobs/open.ts'
import type { StorageRowCache } from '../cache/row-cache.ts'
import type { BodyOptions, Database } from '../database/database.ts'
import type { BeginOptions, Db } from '../database/db.ts'
import { repeated } from '../database/repeated.ts'
import { isStorageError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { observed, observedCall } from '../observability/observed.ts'
import type { Embedding, RepositoryContext } from '../repositories/context.ts'
import type { WrittenTexts } from '../repositories/embeddings/pending.ts'
import { BLOBS, TRANSACTION } from '../repositories/observables.ts'
import { lockSession, recordOperation } from '../repositories/operations.ts'
import { openRepositories } from '../repositories/repositories.ts'
import { homeOfOwner } from '../repositories/sessions/home.ts'
import { checkFunction, millisSchema, parseInput } from '../validation/input.ts'
import type { TransactionOptions } from './options.ts'
import type { StorageTransaction } from './storage-transaction.ts'
import { MAX_WAIT_MILLIS, type Turns } from './turns.ts'

const optionsSchema = z.strictObject({
  timeoutMillis: z.optional(millisSchema),
  isolation: z.optional(z.enum(['read committed', 'serializable'])),
})

/** How often the body of a serializable transaction runs at most. */
const MAX_ATTEMPTS = 20

/** What a transaction spans, and when it is slow. */
export interface TransactionLayers {
  database: Database
  rowCache: StorageRowCache
  blobs: BlobLayer
  context: RepositoryContext
  logger: Logger
  slowTransactionMillis: number
  /** The order of serializable transactions that run again. */
  turns: Turns
}

/** Runs the callback of `storage.transaction()`, or of that of a scope if an owner is given. */
export async function runTransaction<T>(
  layers: TransactionLayers,
  owner: string | undefined,
  body: (tx: StorageTransaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  checkFunction(body, 'body')
  const { timeoutMillis, isolation } = parseInput(optionsSchema, options, 'options')
  const { logger, slowTransactionMillis } = layers
  const warning = setTimeout(() => warnOfSlowTransaction(logger, slowTransactionMillis), slowTransactionMillis).unref()
  try {
    if (isolation !== 'serializable') return await attempt(layers, owner, body, { timeoutMillis })
    // In flight from here on: close() also waits for a transaction that waits for its turn.
    return await layers.database.whileOpen(() =>
      repeatedly(
        (limits) => attempt(layers, owner, body, { ...limits, isSerializable: true, isAdmitted: true }),
        timeoutMillis,
        layers.turns,
      ),
    )
  } finally {
    clearTimeout(warning)
  }
}

/**
 * Runs `work` until PostgreSQL no longer rolls it back in favour of another transaction. `timeoutMillis` holds for all
 * attempts.
 */
async function repeatedly<T>(
  work: (limits: BeginOptions) => Promise<T>,
  timeoutMillis: number | undefined,
  turns: Turns,
): Promise<T> {
  const since = performance.now()
  const left = () => timeoutMillis && Math.max(1, Math.round(timeoutMillis - (performance.now() - since)))
  const run = (turnMillis?: number) => work({ timeoutMillis, since, turnMillis })
  try {
    return await turns.beside(() => run(), left())
  } catch (error) {
    if (!mayRunAgain(error)) throw error
  }
  return turns.alone(() => repeated(() => run(MAX_WAIT_MILLIS), mayRunAgain, MAX_ATTEMPTS - 1), left())
}

function mayRunAgain(error: unknown): boolean {
  return isStorageError(error, 'DATABASE_FAILED') && error.retryable
}

async function attempt<T>(
  { database, rowCache, blobs, context }: TransactionLayers,
  owner: string | undefined,
  body: (tx: StorageTransaction) => Promise<T>,
  limits: Omit<BodyOptions, 'once'>,
): Promise<T> {
  const written: WrittenTexts[] = []
  const { embedding } = context
  const inside: RepositoryContext = {
    ...context,
    embedding: embedding && deferred(embedding, written),
    inTransaction: true,
    closing: undefined,
  }
  // The blobs are outermost: bytes are removed after the cache was invalidated.
  const result = await blobs.transaction((enter) =>
    rowCache.transaction(
      (cache, announce) =>
        database.transaction(
          (tx) =>
            enter(tx, async (ownBlobs) => {
              const result = await body(openTransaction(tx, { ...inside, cache }, ownBlobs, owner))
              await announce(tx)
              return result
            }),
          { ...limits, once: true },
        ),
      limits.isAdmitted,
    ),
  )
  for (const texts of written) embedding?.written(texts)
  return result
}

/** Returns the embedding as a transaction sees it: what is written is kept in `written`, and the model is not called. */
function deferred(embedding: Embedding, written: WrittenTexts[]): Embedding {
  return {
    model: embedding.model,
    mayCall: false,
    get pgvector() {
      return embedding.pgvector
    },
    get hasPending() {
      return embedding.hasPending || written.length > 0
    },
    written: (texts) => void written.push(texts),
  }
}

/** Binds every repository and the blobs to the transaction `tx`. */
function openTransaction(
  tx: Db,
  context: RepositoryContext,
  blobs: TransactionBlobs,
  owner: string | undefined,
): StorageTransaction {
  const { db, cache } = owner === undefined ? { db: tx, cache: context.cache } : homeOfOwner(tx, context.cache, owner)
  const owned = { ...context, cache, offload: blobs.offload }
  const { observer } = context
  const call = <T>(method: string, work: () => Promise<T>) => observedCall(observer, TRANSACTION, method, work)
  return {
    ...openRepositories(db, owned),
    lockSession: (id) => call('lockSession', async () => lockSession(db, owned, id)),
    once: (sessionId, operationId, payload = null) =>
      call('once', async () => recordOperation(db, owned, sessionId, operationId, payload)),
    blobs: observed(owner === undefined ? blobs.blobs : blobs.scoped(owner), BLOBS, observer),
    async transaction(body) {
      checkFunction(body, 'body')
      return tx.transaction((savepoint) =>
        blobs.savepoint(savepoint, (inside) => body(openTransaction(savepoint, context, inside, owner))),
      )
    },
  }
}

function warnOfSlowTransaction(logger: Logger, millis: number): void {
  logger.warn(
    `A transaction has been open for ${millis} ms: others wait for its locks. Do nothing slow in a transaction`,
    { component: 'storage', code: 'SLOW_TRANSACTION', latencyMs: millis },
  )
}
