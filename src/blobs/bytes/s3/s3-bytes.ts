import { createHash } from 'node:crypto'
import { StorageError } from '../../../errors.ts'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  type CommitOptions,
  checkLocation,
  type ListOptions,
  type Location,
  objectName,
  parseObjectName,
  parseQuarantineName,
  type Quarantined,
  quarantineName,
  type Staged,
  type StageOptions,
  type UrlOptions,
} from '../backend.ts'
import { storedOnce, writeSource } from '../staged.ts'
import { StagedFile } from '../staged-file.ts'
import { Bucket, statusOf, unlessAbsent } from './bucket.ts'
import type { S3Client } from './client.ts'
import { NotThere } from './failure.ts'

/** The steps at which a test can interrupt `S3Bytes`. Each is named after what comes next. */
export const S3_STEPS = ['stage.create', 'commit.put', 'remove.delete', 'quarantine.copy', 'quarantine.delete'] as const

export type S3Step = (typeof S3_STEPS)[number]

export interface S3BytesOptions {
  readonly client: S3Client
  /** The folder of the store. Empty, or with a slash at its end. */
  readonly prefix: string
  /** The directory for the bytes of puts in progress. */
  readonly stagingPath: string
  /** Runs before each step, for tests. */
  readonly onStep?: ((step: S3Step) => void | Promise<void>) | undefined
}

type Place = Pick<Location, 'hash' | 'generation'>

/**
 * Stores objects in a bucket, as `<prefix>objects/<2 hex>/<hash>.<generation>`, and damaged ones in `<prefix>quarantine/`. The
 * bytes of a put are staged in a local file without a name. Then one request stores them, signed with their SHA-256: the
 * server refuses other bytes. There is no `has` beside `size`: an object is written once, and the server has compared its
 * hash, so the right length means that the upload can be left out; and a content that has no row takes a new generation,
 * which is not there yet.
 */
export class S3Bytes implements BytesBackend {
  readonly type = 's3'
  readonly #client: S3Client
  readonly #bucket: Bucket
  readonly #prefix: string
  readonly #stagingPath: string
  readonly #onStep: S3BytesOptions['onStep']

  constructor({ client, prefix, stagingPath, onStep }: S3BytesOptions) {
    this.#client = client
    this.#bucket = new Bucket(client)
    this.#prefix = prefix
    this.#stagingPath = stagingPath
    this.#onStep = onStep
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    await this.#onStep?.('stage.create')
    const file = await StagedFile.create(this.#stagingPath)
    const release = () => file.close()
    const written = await writeSource(source, options, { write: (bytes) => file.write(bytes), release })
    const { hash, size } = written
    const store = async (generation: string, { signal }: CommitOptions) => {
      await this.#onStep?.('commit.put')
      const body = { sha256: hash, size, chunks: () => file.chunks() }
      await this.#bucket.put(this.#key({ hash, generation }), body, signal)
    }
    return { ...written, ...storedOnce(hash, { store, release }) }
  }

  async *open(location: Location, start = 0, end = location.size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const { hash, size } = location
    const key = this.#key(location)
    const check = (found: number) => {
      if (found !== size) throw blobCorrupted(hash, `${found} bytes instead of ${size}`)
    }
    try {
      if (start >= end) {
        const facts = await this.#bucket.head(key)
        if (!facts) throw new NotThere()
        return check(facts.size)
      }
      let at = 0
      for await (const chunk of this.#bucket.read(key, start, end, check)) {
        into?.set(chunk, at)
        yield into?.subarray(at, at + chunk.length) ?? chunk
        at += chunk.length
      }
    } catch (error) {
      if (error instanceof NotThere) throw blobNotFound(hash)
      if (statusOf(error) === 416) check((await this.size(location)) ?? 0) // the range begins after the end
      throw error
    }
  }

  async size(location: Location): Promise<number | undefined> {
    return (await this.#bucket.head(this.#key(location)))?.size
  }

  async storedAt(location: Location): Promise<Date | undefined> {
    return (await this.#bucket.head(this.#key(location)))?.storedAt
  }

  async remove(location: Location): Promise<boolean> {
    const key = this.#key(location)
    const existed = (await this.#bucket.head(key)) !== undefined
    await this.#onStep?.('remove.delete')
    if (existed) await this.#bucket.delete(key)
    return existed
  }

  async removeMany(locations: readonly Location[]): Promise<void> {
    await this.#bucket.deleteMany(locations.map((location) => this.#key(location)))
  }

  async *list({ after }: ListOptions = {}): AsyncGenerator<Location> {
    const folder = `${this.#prefix}objects/`
    for await (const { key, size } of this.#bucket.list(folder, { after: after && this.#key(after) })) {
      const place = parseObjectName(key.slice(folder.length + 3))
      if (place && this.#key(place) === key) yield { ...place, size }
    }
  }

  async quarantine(location: Location): Promise<boolean> {
    const key = this.#key(location)
    const found = await this.#hashOf(key)
    if (found === undefined || found === location.hash) return false
    await this.#onStep?.('quarantine.copy')
    const copied = this.#bucket.copy(key, `${this.#prefix}quarantine/${quarantineName(location)}`)
    if ((await unlessAbsent(copied.then(() => true))) === undefined) return false
    await this.#onStep?.('quarantine.delete')
    await this.#bucket.delete(key)
    return true
  }

  async *quarantined(): AsyncGenerator<Quarantined> {
    const folder = `${this.#prefix}quarantine/`
    for await (const { key, storedAt } of this.#bucket.list(folder)) {
      const hash = parseQuarantineName(key.slice(folder.length))
      if (hash === undefined) continue
      const remove = async () => {
        await this.#onStep?.('remove.delete')
        await this.#bucket.delete(key)
      }
      yield { hash, movedAt: storedAt, remove }
    }
  }

  /** Returns 0: the file of a put has no name, and is gone with the put. */
  async sweepStaged(): Promise<number> {
    return 0
  }

  path(location: Location): undefined {
    checkLocation(location)
  }

  async url(location: Location, { expiresSeconds, disposition, mimeType }: UrlOptions): Promise<string> {
    const query = { 'response-content-disposition': disposition, 'response-content-type': mimeType }
    return this.#client.presign(this.#key(location), query, expiresSeconds)
  }

  async ping(): Promise<void> {
    for await (const _ of this.#bucket.list(`${this.#prefix}objects/`, { limit: 1 })) return
  }

  async close(): Promise<void> {
    this.#client.close()
  }

  #key(place: Place): string {
    checkLocation(place)
    return `${this.#prefix}objects/${place.hash.slice(0, 2)}/${objectName(place)}`
  }

  /** Returns the SHA-256 of an object, or undefined if it does not exist. */
  async #hashOf(key: string): Promise<string | undefined> {
    const facts = await this.#bucket.head(key)
    if (!facts) return undefined
    const hash = createHash('sha256')
    const check = (size: number) => {
      if (size !== facts.size) throw new StorageError('INVALID_STATE', 'The object was replaced', { retryable: true })
    }
    const read = async () => {
      for await (const chunk of this.#bucket.read(key, 0, facts.size, check)) hash.update(chunk)
      return hash.digest('hex')
    }
    return unlessAbsent(read())
  }
}
