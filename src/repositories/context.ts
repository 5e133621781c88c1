import type { Offload } from '../blobs/attachments/offload.ts'
import type { RowCache } from '../cache/row-cache.ts'
import type { Db } from '../database/db.ts'
import type { Observer } from '../observability/observed.ts'
import type { Model } from './embeddings/model.ts'
import type { WrittenTexts } from './embeddings/pending.ts'

/** What every repository gets besides its database handle. */
export interface RepositoryContext {
  /** Returns the current time, which stamps rows and decides what has expired. */
  now(): Date
  /** Returns the current time, after asking the server for it if there is one: over the given handle. */
  confirmedNow(db: Db): Promise<Date>
  /** The cache of point reads. A write of rows that it may hold goes through it. */
  readonly cache: RowCache
  /** Makes blobs of the data in messages, if the configuration says so. */
  readonly offload?: Offload | undefined
  /** Receives the calls of the repositories. */
  readonly observer: Observer
  /** Warns if the memory just created ends with the process, since the database is in memory. */
  onMemoryCreated(): void
  /** True in a transaction. Default false. */
  readonly inTransaction?: boolean | undefined
  /** Aborted by the beginning of a close. Not given in a transaction, which a close waits for. */
  readonly closing?: AbortSignal | undefined
  /** The embedding of texts, if the program has given a model. */
  readonly embedding?: Embedding | undefined
}

/** What repositories know of the embedding of texts. */
export interface Embedding {
  readonly model: Model
  /** False in a transaction: the model is never called there. */
  readonly mayCall: boolean
  /** The schema of pgvector, if it is enabled: then PostgreSQL compares the vectors. */
  readonly pgvector: string | undefined
  /** True if this process has texts to embed, or has not looked yet whether there are any. */
  readonly hasPending: boolean
  /** Embeds texts that were written, soon. In a transaction it keeps them until after the commit. */
  written(texts: WrittenTexts): void
}
