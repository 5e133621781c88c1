import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import * as z from 'zod'
import type { Db } from '../database/db.ts'
import { type Page, type PageOptions, pageSchema } from '../database/paging/page.ts'
import { StorageError } from '../errors.ts'
import { idSchema, instantSchema, parseInput, textSchema } from '../validation/input.ts'
import { jsonObjectSchema } from '../validation/json.ts'
import { blobCorrupted, blobNotFound } from './bytes/backend.ts'
import { toDataUri } from './input/data-uri.ts'
import { mimeTypeSchema } from './input/mime.ts'
import { type BlobInput, blobSource } from './input/source.ts'
import { type BlobCleanup, cleanUp } from './protocol/cleanup.ts'
import { collectContent } from './protocol/collect.ts'
import { putBlob, putBlobWithin } from './protocol/put.ts'
import { type BlobRecord, findRecord, listRecords, touch } from './protocol/records.ts'
import { removeRecord } from './protocol/remove.ts'
import type { BlobStore } from './protocol/store.ts'
import { readUsage } from './protocol/usage.ts'
import { verifyBlobs } from './protocol/verify.ts'
import type { BlobVerification, VerifyOptions } from './protocol/verify-report.ts'
import { type ByteRange, readBytes, readStream } from './read.ts'
import { blobUri, newBlobId, parseReference } from './reference.ts'

const DAY_MILLIS = 86_400_000
/** No instant is later. */
const EVER = new Date('9999-12-31T23:59:59.999Z')
/** No instant is earlier. */
const NEVER = new Date('0001-01-01T00:00:00.000Z')

export const putBlobOptionsSchema = z.strictObject({
  name: textSchema({ max: 1024 }).optional(),
  mimeType: mimeTypeSchema.optional(),
  source: idSchema.optional(),
  metadata: jsonObjectSchema.optional(),
  expiresAt: instantSchema.nullable().optional(),
})

export interface PutBlobOptions {
  /** Metadata only, up to 1024 characters. Default: that of a File or a path. */
  name?: string | undefined
  /** Default: that of a Blob or a data URI, else a guess by the first bytes, else by the name. */
  mimeType?: string | undefined
  /** Who or what it is from, for `list`. */
  source?: string | undefined
  metadata?: object | undefined
  /** Default null: it stays. */
  expiresAt?: Date | null | undefined
}

const listSchema = z.strictObject({
  source: idSchema.optional(),
  ...pageSchema.shape,
})
const rangeSchema = z.strictObject({ start: z.int().min(0).optional(), end: z.int().min(0).optional() })
const deleteSchema = z.strictObject({ force: z.boolean().optional() })
const cleanupSchema = z.strictObject({ olderThan: instantSchema.optional(), dryRun: z.boolean().optional() })
const verifySchema = z.strictObject({
  repair: z.boolean().optional(),
  onProgress: z.custom<VerifyOptions['onProgress']>((value) => typeof value === 'function').optional(),
})

export interface BlobStats {
  /** Blobs, those that have expired and wait for maintenance among them. */
  count: number
  /** Different contents: fewer than blobs where some share one. */
  contents: number
  /** What the contents take. */
  bytes: number
  maxTotalSize: number
}

/** What blobs are given: a database for their records, and where the bytes are. @internal */
export interface BlobContext {
  readonly db: Db
  readonly store: BlobStore
  /** Runs each call; refuses where none may be made. */
  during<T>(work: () => Promise<T>): Promise<T>
  /** Set in a transaction: the contents that it wrote, and the contents to collect after its end. */
  readonly transaction?: { contentsWritten: Set<string>; contentsToCollect: Set<string> }
}

/**
 * Files and other bytes, each with a record. Equal bytes are kept once, however many records share them. Most methods
 * take a reference, `blob:<id>` or `<id>`: anything else is BLOB_REFERENCE_INVALID. Those that read bytes fail with
 * BLOB_NOT_FOUND where there is no such blob, and with BLOB_CORRUPTED rather than give wrong bytes.
 */
export class Blobs {
  readonly #db: Db
  readonly #store: BlobStore
  readonly #context: BlobContext

  /** @internal */
  constructor(context: BlobContext) {
    this.#db = context.db
    this.#store = context.store
    this.#context = context
  }

  /**
   * Stores bytes, durably: once it resolves they survive a crash. A stream is read in bounded memory. A repeat makes
   * another record of the same bytes. Within a transaction it is undone with it; until that ends, other puts wait.
   * Errors: BLOB_TOO_LARGE, BLOB_QUOTA_EXCEEDED, DISK_FULL, INVALID_INPUT.
   */
  put(input: BlobInput, options: PutBlobOptions = {}): Promise<BlobRecord> {
    return this.#context.during(async () => {
      parseInput(putBlobOptionsSchema, options, 'options') // before anything is opened
      const source = await blobSource(input)
      const given = parseInput(putBlobOptionsSchema, { ...options, name: options.name ?? source.name }, 'options')
      const described = {
        id: newBlobId(),
        name: given.name ?? null,
        mimeType: given.mimeType ?? source.mimeType,
        source: given.source ?? null,
        metadata: given.metadata ?? {},
        createdAt: this.#store.now(),
        expiresAt: given.expiresAt ?? null,
      }
      const { transaction } = this.#context
      const put = transaction ? putBlobWithin(transaction) : putBlob
      const stored = await put(this.#db, this.#store, source, described)
      return { ...stored, uri: blobUri(stored.id), lastUsedAt: stored.createdAt }
    })
  }

  /** The record, or undefined. */
  get(reference: string): Promise<BlobRecord | undefined> {
    return this.#context.during(() => this.#find(reference))
  }

  /** All its bytes, their hash checked. */
  bytes(reference: string): Promise<Buffer> {
    return this.#context.during(async () => readBytes(this.#store.bytes, await this.#existing(reference)))
  }

  /** Its bytes as UTF-8; what is none becomes U+FFFD. */
  async text(reference: string): Promise<string> {
    return (await this.bytes(reference)).toString('utf8')
  }

  async base64(reference: string): Promise<string> {
    return (await this.bytes(reference)).toString('base64')
  }

  /** `data:<type>;base64,...` */
  dataUri(reference: string): Promise<string> {
    return this.#context.during(async () => {
      const record = await this.#existing(reference)
      return toDataUri(await readBytes(this.#store.bytes, record), record.mimeType)
    })
  }

  /**
   * Its bytes, or those from `start` to `end` (both included, from 0, as in HTTP), as a stream that holds a few chunks
   * at a time. A damaged blob fails at the stream's end at the latest, a range of it where its length has changed.
   * Errors: INVALID_INPUT, besides those of all reads.
   */
  stream(reference: string, range: ByteRange = {}): Promise<Readable> {
    return this.#context.during(async () => {
      const { start, end } = parseInput(rangeSchema, range, 'range')
      return readStream(this.#store.bytes, await this.#existing(reference), { start, end })
    })
  }

  /** The absolute path of the file with the bytes: to be read, and never written. Undefined where they are in memory. */
  path(reference: string): Promise<string | undefined> {
    return this.#context.during(async () => {
      const { bytes } = this.#store
      const { hash, size } = await this.#existing(reference)
      const found = await bytes.size(hash)
      if (found === undefined) throw blobNotFound(hash)
      if (found !== size) throw blobCorrupted(hash, `${found} bytes where there were ${size}`)
      return bytes.path(hash)
    })
  }

  /** `path` as a `file:` URL. */
  async fileUrl(reference: string): Promise<string | undefined> {
    const path = await this.path(reference)
    return path === undefined ? undefined : pathToFileURL(path).href
  }

  /** Whether there is such a blob. */
  exists(reference: string): Promise<boolean> {
    return this.#context.during(async () => {
      return (await findRecord(this.#db, parseReference(reference), this.#store.now())) !== undefined
    })
  }

  /**
   * Removes the record, and the bytes where no other record shares them; whether there was one. Safe to repeat.
   * Errors: BLOB_IN_USE where a message mentions it, unless `force`.
   */
  delete(reference: string, options: { force?: boolean | undefined } = {}): Promise<boolean> {
    return this.#context.during(async () => {
      const id = parseReference(reference)
      const { force = false } = parseInput(deleteSchema, options, 'options')
      const now = this.#store.now()
      const alive = await findRecord(this.#db, id, now)
      await this.#store.onStep?.('delete.remove')
      const hash = await removeRecord(this.#db, {
        id,
        now,
        force,
        usedBefore: EVER,
        expiredBy: now,
        lease: randomUUID(),
      })
      if (hash !== undefined) await this.#collect(hash)
      else if (await findRecord(this.#db, id, now)) throw inUse(id)
      return hash !== undefined && alive !== undefined
    })
  }

  /** Records, the newest first. */
  list(options: PageOptions & { source?: string | undefined } = {}): Promise<Page<BlobRecord>> {
    return this.#context.during(async () => {
      const { source, ...page } = parseInput(listSchema, options, 'options')
      return listRecords(this.#db, source, this.#store.now(), page)
    })
  }

  /** How many blobs there are and what they take; nothing is counted for it. */
  stats(): Promise<BlobStats> {
    return this.#context.during(async () => {
      const { records: count, contents, bytes } = await readUsage(this.#db)
      return { count, contents, bytes, maxTotalSize: this.#store.maxTotalSize }
    })
  }

  /**
   * Removes the blobs that no message mentions and that were last used before `olderThan` (default: `cleanupAfterDays`
   * ago; in memory, none), and those that have expired. `dryRun` only counts. Maintenance does it by itself.
   */
  cleanup(options: { olderThan?: Date | undefined; dryRun?: boolean | undefined } = {}): Promise<BlobCleanup> {
    return this.#context.during(async () => {
      this.#refuseInTransaction('cleanup')
      const { olderThan, dryRun = false } = parseInput(cleanupSchema, options, 'options')
      const { cleanupAfterDays: days = Number.POSITIVE_INFINITY } = this.#store
      const usual = new Date(Math.max(NEVER.getTime(), this.#store.now().getTime() - days * DAY_MILLIS))
      return cleanUp(this.#db, this.#store, { usedBefore: olderThan ?? usual, dryRun })
    })
  }

  /**
   * Compares records and bytes, step by step, and reads every byte. `repair` removes what should not be there, sets
   * damaged bytes aside, and removes the records whose bytes are lost. It may run while the store is in use.
   */
  verify(options: VerifyOptions = {}): Promise<BlobVerification> {
    return this.#context.during(async () => {
      this.#refuseInTransaction('verify')
      return verifyBlobs(this.#db, this.#store, parseInput(verifySchema, options, 'options'))
    })
  }

  async #find(reference: string): Promise<BlobRecord | undefined> {
    const id = parseReference(reference)
    const now = this.#store.now()
    const record = await findRecord(this.#db, id, now)
    if (!record || now.getTime() - record.lastUsedAt.getTime() < DAY_MILLIS) return record
    await touch(this.#db, id, now).catch(ignoreReadOnly)
    return { ...record, lastUsedAt: now }
  }

  async #existing(reference: string): Promise<BlobRecord> {
    const record = await this.#find(reference)
    if (record) return record
    const uri = blobUri(parseReference(reference))
    throw new StorageError('BLOB_NOT_FOUND', `There is no ${uri}`, { details: { uri } })
  }

  /** Now, or after the transaction. What fails is done by maintenance: the record is gone, which was asked for. */
  async #collect(hash: string): Promise<void> {
    const { transaction } = this.#context
    if (transaction) transaction.contentsToCollect.add(hash)
    else await collectContent(this.#db, this.#store, hash).catch(() => {})
  }

  #refuseInTransaction(what: string): void {
    if (!this.#context.transaction) return
    throw new StorageError('TRANSACTION_MISUSE', `blobs.${what} makes its own transactions: call it outside of one`)
  }
}

function inUse(id: string): StorageError {
  const message = 'A message mentions the blob: remove the message, or delete the blob with { force: true }'
  return new StorageError('BLOB_IN_USE', message, { details: { id } })
}

/** A read-only database is read all the same. */
function ignoreReadOnly(error: unknown): void {
  if (!(error instanceof StorageError && error.code === 'READ_ONLY')) throw error
}
