import { count, eq, sql } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { Database } from '../database/database.ts'
import { readProperty, writeProperty } from '../database/identity.ts'
import { columnsOf } from '../database/primary-key.ts'
import { StorageError } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { PacedLease } from '../maintenance/lease.ts'
import { Embedder } from '../repositories/embeddings/embedder.ts'
import { MAX_KEY_LENGTH, Model } from '../repositories/embeddings/model.ts'
import { convertVectors, createPgvector, pgvectorSchema } from '../repositories/embeddings/pgvector.ts'
import type { EmbeddingModel } from '../repositories/embeddings/types.ts'
import { parseInput, textSchema } from '../validation/input.ts'
import { checkSignal } from '../validation/signal.ts'
import { parseLongRun } from './long-run.ts'
import type { EmbedPendingOptions, RemoveEmbeddingsOptions } from './options.ts'
import type { EmbeddingStats } from './reports.ts'

/** The property that holds the model of the last storage that had one, for the statistics of those that have none. */
const MODEL = 'embedding_model'
/** A holder that is gone blocks the walk no longer than this. */
const LEASE_MILLIS = 60_000
/** How long a round of maintenance waits for the walk, which goes on afterwards. */
const ROUND_MILLIS = 5000
/** How many rows one transaction removes. */
const BATCH_ROWS = 1000

const removalSchema = z.strictObject({ model: textSchema({ min: 1, max: MAX_KEY_LENGTH }) })

/** Opens the embedder of the program's model. */
export async function openEmbedder(
  database: Database,
  given: EmbeddingModel | undefined,
  { logger, now }: { logger: Logger; now: () => Date },
): Promise<Embedder | undefined> {
  if (given === undefined) return undefined
  const model = new Model(given)
  const lease = new PacedLease(database, 'embeddings', now, LEASE_MILLIS)
  const embedder = new Embedder({ db: database, model, logger, lease })
  embedder.pgvector = await pgvectorSchema(database)
  if ((await readProperty(database, MODEL)) !== model.key) await writeProperty(database, MODEL, model.key)
  return embedder
}

/** Runs the step of maintenance: looks at all texts, and has pgvector take what it lacks. */
export async function maintainEmbeddings(
  database: Database,
  embedder: Embedder,
  closing: AbortSignal,
): Promise<number> {
  await embedder.walk(ROUND_MILLIS)
  embedder.pgvector = await pgvectorSchema(database)
  if (embedder.pgvector !== undefined) await convertVectors(database, embedder.pgvector, () => closing.throwIfAborted())
  return 0
}

/** Embeds everything that is pending. See `Storage.embedPending`. */
export async function embedPending(
  database: Database,
  embedder: Embedder | undefined,
  options: EmbedPendingOptions,
): Promise<number> {
  const { signal, onProgress } = parseLongRun(options)
  database.check()
  if (embedder === undefined) throw noModel()
  return embedder.embedPending({ signal, onProgress: onProgress && ((embedded) => onProgress({ embedded })) })
}

function noModel(): StorageError<'INVALID_STATE'> {
  return new StorageError(
    'INVALID_STATE',
    'There is nothing to embed with: open the storage with a model, options.embedding',
  )
}

/** Has PostgreSQL compare the vectors from now on. See `Storage.enablePgvector`. */
export async function enablePgvector(
  database: Database,
  embedder: Embedder | undefined,
  options: EmbedPendingOptions,
): Promise<number> {
  const { signal } = parseLongRun(options)
  const aborted = 'The call was aborted by its signal: call it again, or leave the rest to maintenance'
  checkSignal(signal, aborted)
  const schema = await createPgvector(database)
  const converted = await convertVectors(database, schema, () => checkSignal(signal, aborted))
  if (embedder) embedder.pgvector = schema
  return converted
}

/** Removes the vectors of a model. See `Storage.removeEmbeddings`. */
export async function removeEmbeddings(database: Database, options: RemoveEmbeddingsOptions): Promise<number> {
  const { model } = parseInput(removalSchema, options, 'options')
  const { orm, tables } = database
  let removed = 0
  for (const rows of [tables.messageEmbeddings, tables.memoryEmbeddings] as const) {
    const { key } = columnsOf(database.kit, rows)
    const names = sql.join(
      key.map((column) => sql`${column}`),
      sql`, `,
    )
    const fields = Object.fromEntries(key.map((column, i) => [`k${i}`, column]))
    const some = orm.select(fields).from(rows).where(eq(rows.model, model)).limit(BATCH_ROWS)
    for (let found = BATCH_ROWS; found === BATCH_ROWS; ) {
      found = (await orm.delete(rows).where(sql`(${names}) in ${some}`).returning({ model: rows.model })).length
      removed += found
    }
  }
  return removed
}

/** Counts vectors by model, and what the current model has not embedded yet, given the rows of each table. */
export async function embeddingStats(
  database: Database,
  embedder: Embedder | undefined,
  rows: Readonly<Record<string, number>>,
): Promise<EmbeddingStats | undefined> {
  const model = embedder?.model.key ?? (await readProperty(database, MODEL))
  if (model === undefined) return undefined
  const { messageEmbeddings, memoryEmbeddings } = database.tables
  const models: Record<string, number> = {}
  for (const table of [messageEmbeddings, memoryEmbeddings]) {
    const counts = await database.orm.select({ model: table.model, texts: count() }).from(table).groupBy(table.model)
    for (const each of counts) models[each.model] = (models[each.model] ?? 0) + each.texts
  }
  const texts = (rows.messages ?? 0) + (rows.memories ?? 0)
  return { model, models, pending: Math.max(0, texts - (models[model] ?? 0)) }
}
