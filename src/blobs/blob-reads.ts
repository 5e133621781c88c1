import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { contentDisposition } from '../content-disposition.ts'
import type { Db } from '../database/db.ts'
import type { Page } from '../database/paging/page.ts'
import type { JsonObject } from '../schema/values.ts'
import { parseInput } from '../validation/input.ts'
import { inlined } from './attachments/inline.ts'
import { type BlobContext, recordsOf } from './context.ts'
import { toDataUri } from './input/data-uri.ts'
import {
  countUsage,
  listRecords,
  locationOf,
  recordExists,
  type StoredBlob,
  useExistingRecord,
  useRecord,
} from './protocol/records.ts'
import type { BlobStore } from './protocol/store.ts'
import { readUsage } from './protocol/usage.ts'
import { checkSize, readBytes, readStream, type StoredObject } from './read.ts'
import { parseReference } from './reference.ts'
import {
  type BlobRecord,
  type BlobStats,
  type BlobUrlOptions,
  type ByteRange,
  type ListBlobsOptions,
  listOptionsSchema,
  rangeSchema,
  urlOptionsSchema,
} from './types.ts'

/** What `Blobs` reads. */
export class BlobReads {
  /**
   * The records that the calls work with. The protocol itself takes the handle of the context, which has no owner.
   *
   * @internal
   */
  protected readonly records: Db
  /** @internal */
  protected readonly store: BlobStore
  /** @internal */
  protected readonly context: BlobContext

  /** @internal */
  constructor(context: BlobContext) {
    this.records = recordsOf(context)
    this.store = context.store
    this.context = context
  }

  /**
   * Returns the record of a blob, or undefined if it does not exist.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log((await storage.blobs.get(uri))?.size) // 5
   * ```
   */
  get<Metadata extends object = JsonObject>(reference: string): Promise<BlobRecord<Metadata> | undefined>
  get(reference: string): Promise<BlobRecord | undefined> {
    return this.context.whileOpen(async () => {
      return (await useRecord(this.records, parseReference(reference), this.store.now()))?.record
    })
  }

  /**
   * Returns all bytes of a blob, after checking their hash.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the bytes are damaged.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.bytes(uri)) // <Buffer 68 65 6c 6c 6f>
   * ```
   */
  bytes(reference: string): Promise<ReturnType<typeof Buffer.alloc>> {
    // The type is Buffer<ArrayBuffer>, and Buffer before TypeScript 5.7.
    return this.context.whileOpen(async () => readBytes(await this.#getExisting(reference)))
  }

  /**
   * Returns the bytes of a blob decoded as UTF-8, after checking their hash. An invalid sequence becomes U+FFFD.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the bytes are damaged.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.text(uri)) // hello
   * ```
   */
  async text(reference: string): Promise<string> {
    return (await this.bytes(reference)).toString('utf8')
  }

  /**
   * Returns the bytes of a blob as base64, after checking their hash.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the bytes are damaged.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.base64(uri)) // aGVsbG8=
   * ```
   */
  async base64(reference: string): Promise<string> {
    return (await this.bytes(reference)).toString('base64')
  }

  /**
   * Returns the bytes of a blob as `data:<type>;base64,<bytes>`, after checking their hash.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the bytes are damaged.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'), { mimeType: 'text/plain' })
   * console.log(await storage.blobs.dataUri(uri)) // data:text/plain;base64,aGVsbG8=
   * ```
   */
  dataUri(reference: string): Promise<string> {
    return this.context.whileOpen(async () => {
      const blob = await this.#getExisting(reference)
      return toDataUri(await readBytes(blob), blob.record.mimeType)
    })
  }

  /**
   * Returns the bytes of a blob, or a range of them, as a stream that holds a few chunks at a time. If the blob is
   * damaged, the stream fails with BLOB_CORRUPTED before its last chunk. For a range, only the blob's length is checked.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   * @throws {INVALID_INPUT} when the range is not valid.
   *
   * @example
   * ```ts
   * import { text } from 'node:stream/consumers'
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await text(await storage.blobs.stream(uri, { start: 1, end: 3 }))) // ell
   * ```
   */
  stream(reference: string, range: ByteRange = {}): Promise<Readable> {
    return this.context.whileOpen(async () => {
      const parsed = parseInput(rangeSchema, range, 'range')
      return readStream(await this.#getExisting(reference), parsed)
    })
  }

  /**
   * Returns the absolute path of the file with the bytes, or undefined if they are in memory. Never write to this file.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the file has another length than the blob.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.path(uri)) // undefined in memory, else /data/blobs/objects/2c/2cf24d...
   * ```
   */
  path(reference: string): Promise<string | undefined> {
    return this.context.whileOpen(async () => {
      return this.store.bytes.path(await checkSize(await this.#getExisting(reference)))
    })
  }

  /**
   * Returns the path of the file with the bytes as a `file:` URL, or undefined if they are in memory.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_CORRUPTED} when the file has another length than the blob.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.fileUrl(uri)) // undefined in memory, else file:///data/blobs/objects/2c/2cf24d...
   * ```
   */
  async fileUrl(reference: string): Promise<string | undefined> {
    const path = await this.path(reference)
    return path === undefined ? undefined : pathToFileURL(path).href
  }

  /**
   * Returns a URL from which anybody can read the bytes until it expires, or undefined if the blob store has no URLs: only
   * `s3` has. Sends no request, and so does not notice that bytes are missing. Keys that expire earlier end the URL earlier.
   *
   * @throws {BLOB_NOT_FOUND} when the blob does not exist.
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'), { name: 'hello.txt' })
   * console.log(await storage.blobs.url(uri, { expiresSeconds: 60 })) // undefined in memory, else https://agent-files.s3...
   * ```
   */
  url(reference: string, options: BlobUrlOptions = {}): Promise<string | undefined> {
    return this.context.whileOpen(async () => {
      const { expiresSeconds = 900, disposition = 'attachment' } = parseInput(urlOptionsSchema, options, 'options')
      const { record, location } = await this.#getExisting(reference)
      const { name, mimeType } = record
      const given = { expiresSeconds, mimeType, disposition: contentDisposition(disposition, name) }
      return this.store.bytes.url?.(location, given)
    })
  }

  /**
   * Returns true if the blob exists.
   *
   * @throws {BLOB_REFERENCE_INVALID} when the reference is not `blob:<id>` or `<id>`.
   *
   * @example
   * ```ts
   * const { uri } = await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.exists(uri)) // true
   * ```
   */
  exists(reference: string): Promise<boolean> {
    return this.context.whileOpen(async () => {
      return recordExists(this.records, parseReference(reference), this.store.now())
    })
  }

  /**
   * Returns a page of records, newest first.
   *
   * @typeParam Metadata The expected type of the metadata. It is not checked.
   * @throws {INVALID_INPUT} when an option is not valid.
   *
   * @example
   * ```ts
   * await storage.blobs.put(Buffer.from('hello'), { source: 'chat-1' })
   * console.log((await storage.blobs.list({ source: 'chat-1' })).items.length) // 1
   * ```
   */
  list<Metadata extends object = JsonObject>(options?: ListBlobsOptions): Promise<Page<BlobRecord<Metadata>>>
  list(options: ListBlobsOptions = {}): Promise<Page<BlobRecord>> {
    return this.context.whileOpen(async () => {
      const { source, ownerId, ...page } = parseInput(listOptionsSchema, options, 'options')
      return listRecords(this.records, { source, ownerId }, this.store.now(), page)
    })
  }

  /**
   * Returns the number and size of all blobs. Takes the same time however many there are. A scope counts its owner's
   * blobs, one by one.
   *
   * @example
   * ```ts
   * await storage.blobs.put(Buffer.from('hello'))
   * console.log(await storage.blobs.stats()) // { count: 1, contents: 1, bytes: 5, maxTotalSize: 104857600 }
   * ```
   */
  stats(): Promise<BlobStats> {
    return this.context.whileOpen(async () => {
      const isScope = this.context.owner !== undefined
      const { records: count, contents, bytes } = await (isScope ? countUsage : readUsage)(this.records)
      return { count, contents, bytes, maxTotalSize: this.store.maxTotalSize }
    })
  }

  /**
   * Returns a message, or any other value, with data in the place of the blobs that it names, if that is what they were before
   * `offloadAboveBytes` made blobs of them: the same base64 or data URI. Any other string stays as it is, also the name of a
   * blob that the program has put itself or has deleted. For a call of a model, for example.
   *
   * @throws {BLOB_NOT_FOUND} when the bytes of a blob are missing.
   * @throws {BLOB_CORRUPTED} when the bytes of a blob are damaged.
   *
   * @example
   * ```ts
   * const messages = await storage.blobs.inline(await storage.messages.latest('chat', 20))
   * ```
   */
  inline<T>(value: T): Promise<T> {
    return this.context.whileOpen(() =>
      inlined(value, async (id) => {
        const found = await useRecord(this.records, id, this.store.now())
        return found && { metadata: found.record.metadata, bytes: () => readBytes(this.#objectOf(found)) }
      }),
    )
  }

  async #getExisting(reference: string): Promise<StoredBlob & StoredObject> {
    return this.#objectOf(await useExistingRecord(this.records, parseReference(reference), this.store.now()))
  }

  #objectOf(found: StoredBlob): StoredBlob & StoredObject {
    const { bytes } = this.store
    return { ...found, bytes, relocate: () => locationOf(this.context.db, found.record.hash) }
  }
}
