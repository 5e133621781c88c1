import { pathToFileURL } from 'node:url'
import { StorageError } from '../errors.ts'
import type { Storage, StorageScope } from '../storage/types.ts'
import { invalid } from './invalid.ts'
import { itemsOf } from './parts.ts'

type BlobRecord = Awaited<ReturnType<Storage['blobs']['put']>>
type BlobInput = Parameters<Storage['blobs']['put']>[0]
type Format = 'base64' | 'buffer' | 'path' | 'stream' | 'url'

interface Metadata {
  mimeType?: string
  originalName?: string
  source?: string
}

/** Dexto's artifacts, as blobs. Equal artifacts share their bytes, and each has a reference of its own. */
export class ArtifactStore {
  readonly #storage: Storage | StorageScope
  readonly #path: string | undefined

  constructor(storage: Storage | StorageScope, path: string | undefined) {
    this.#storage = storage
    this.#path = path
  }

  /**
   * Stores bytes, base64 or a data URI. Returns the reference. A path is refused, unlike in Dexto's own stores: a text that a
   * model has written must not name a file of this machine.
   *
   * @throws {INVALID_INPUT} when the text is neither base64 nor a data URI.
   */
  async store({ data, metadata = {} }: { data: string | Uint8Array | ArrayBuffer; metadata?: Metadata }) {
    const { mimeType, originalName: name, source } = metadata
    return referenceOf(await this.#storage.blobs.put(inputOf(data), { mimeType, name, source }))
  }

  /**
   * Returns the bytes in a format, by default base64.
   *
   * @throws {BLOB_NOT_FOUND} when there is no such artifact.
   * @throws {INVALID_STATE} when the format is `path` and the blob store has no files.
   */
  async retrieve({ reference, format = 'base64' }: { reference: string; format?: Format }) {
    const { blobs } = this.#storage
    const record = await blobs.get(reference)
    if (record === undefined) throw new StorageError('BLOB_NOT_FOUND', `There is no artifact ${reference}`)
    return { format, data: await this.#read(reference, format), metadata: metadataOf(record) }
  }

  async #read(reference: string, format: Format): Promise<string | Buffer | NodeJS.ReadableStream> {
    const { blobs } = this.#storage
    if (format === 'base64') return blobs.base64(reference)
    if (format === 'buffer') return blobs.bytes(reference)
    if (format === 'stream') return blobs.stream(reference)
    const path = await blobs.path(reference)
    if (format === 'url') return path === undefined ? blobs.dataUri(reference) : pathToFileURL(path).href
    if (path !== undefined) return path
    throw new StorageError('INVALID_STATE', 'The blob store has no files: ask for another format, such as "stream"')
  }

  async exists({ reference }: { reference: string }): Promise<boolean> {
    return this.#storage.blobs.exists(reference)
  }

  /**
   * Removes an artifact.
   *
   * @throws {BLOB_IN_USE} when a message mentions the artifact.
   */
  async delete({ reference }: { reference: string }): Promise<void> {
    await this.#storage.blobs.delete(reference)
  }

  /**
   * Removes artifacts that were last used before `olderThan`. Returns their number. What is named anywhere stays.
   *
   * @throws {INVALID_STATE} when the storage is a scope.
   */
  async cleanup({ olderThan }: { olderThan?: Date } = {}): Promise<number> {
    const { blobs } = this.#storage
    if ('cleanup' in blobs) return (await blobs.cleanup({ olderThan })).removed
    throw new StorageError('INVALID_STATE', 'A scope cleans nothing up: the blobs of all owners are concerned')
  }

  async getStats() {
    const { count, bytes: totalSize } = await this.#storage.blobs.stats()
    return { count, totalSize, backendType: 'holdfast', ...(this.#path !== undefined && { storePath: this.#path }) }
  }

  async listArtifacts() {
    return (await itemsOf((page) => this.#storage.blobs.list(page))).map(referenceOf)
  }

  getStoragePath(): string | undefined {
    return this.#path
  }
}

function inputOf(data: string | Uint8Array | ArrayBuffer): BlobInput {
  if (typeof data !== 'string') return data
  if (data.startsWith('data:')) return { dataUri: data }
  if (/^[\w+/-]*={0,2}$/.test(data)) return Buffer.from(data, 'base64') // padded or not, as Dexto takes it
  throw invalid('data', 'must be bytes, base64 or a data URI; read a file and pass its bytes')
}

function referenceOf(record: BlobRecord) {
  return { id: record.id, uri: record.uri, metadata: metadataOf(record) }
}

function metadataOf({ id, mimeType, name, createdAt, size, hash, source }: BlobRecord) {
  const given = { ...(name !== null && { originalName: name }), ...(source !== null && { source }) }
  return { id, mimeType, createdAt, size, hash, ...given }
}
