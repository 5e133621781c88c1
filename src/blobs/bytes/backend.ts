import { randomBytes, randomUUID } from 'node:crypto'
import { StorageError } from '../../errors.ts'
import { backendSchema } from '../../validation/backend.ts'

/** Identifies bytes by their SHA-256, as 64 lower-case hexadecimal digits, and their length. */
export interface Content {
  readonly hash: string
  readonly size: number
}

/**
 * Identifies an object. A content whose bytes were removed, or are damaged, is stored anew under another generation, so
 * that a removal which arrives late finds nothing that anybody needs.
 */
export interface Location extends Content {
  /** 16 lower-case hexadecimal digits, or empty: objects of the first version have no generation. */
  readonly generation: string
}

export interface StageOptions {
  /** The most bytes that the source may yield. */
  maxBytes: number
  /** Ends the call: it rejects with the reason of the signal, and leaves nothing. Has no effect on what is staged. */
  signal?: AbortSignal | undefined
}

export interface CommitOptions {
  /**
   * Ends the call: it rejects with the reason of the signal, and the object may be there or not. A backend whose `commit` takes
   * but a moment may ignore the signal.
   */
  signal?: AbortSignal | undefined
}

export interface UrlOptions {
  /** The URL is refused after so many seconds. */
  expiresSeconds: number
  /** The `Content-Disposition` of the answer, such as `attachment; filename="report.pdf"`. */
  disposition: string
  /** The `Content-Type` of the answer. */
  mimeType: string
}

/**
 * Bytes that are written, though perhaps not yet synced, and are not yet an object: they cannot be opened. After a crash,
 * `sweepStaged` removes them.
 */
export interface Staged extends Content {
  /** The first 4 KiB, from which the MIME type is guessed. */
  readonly head: Uint8Array
  /**
   * Makes the bytes the object of their hash and this generation. The object survives a power cut once the call resolves.
   * The caller commits to a generation once. Safe to repeat with the same generation, also after a failure.
   *
   * @throws {INVALID_STATE} when the bytes were discarded or swept.
   */
  commit(generation: string, options?: CommitOptions): Promise<void>
  /** Removes the staged bytes. Does nothing after `commit`. Safe to repeat. */
  discard(): Promise<void>
}

/**
 * Stores the bytes of blobs as objects, by their hash and generation. Knows nothing about ids, names or quotas: the caller
 * decides when an object may be created or removed. `bytesContract` of `holdfast/testing` holds this contract as tests.
 *
 * Every method that takes a location rejects a malformed hash or generation with INVALID_INPUT. Only `open` compares the
 * size. A failure of the disk is DISK_FULL, READ_ONLY, CONNECTION_FAILED or DATABASE_FAILED.
 */
export interface BytesBackend {
  /**
   * The name of the backend, which `storage.health()` reports. 'in-memory' says that the bytes are gone when the process
   * ends; then the records of the blobs are, too. With any other name the records are in the database of the storage.
   */
  readonly type: 'in-memory' | 'local' | (string & {})
  /**
   * Writes the chunks of the source, in bounded memory. Copies each chunk before it asks for the next, so the source may
   * reuse its buffer. Throws an error of the source unchanged. Leaves nothing behind if it fails.
   *
   * @throws {BLOB_TOO_LARGE} when the source has yielded more than `maxBytes` bytes. The rest is not read.
   */
  stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged>
  /**
   * Yields the bytes from `start` up to, but not including, `end`, as `slice` does. The caller may keep the chunks. With
   * `into`, which must be exactly as long as the range, writes the bytes there and yields parts of it. Does not check
   * the hash.
   *
   * @throws {BLOB_NOT_FOUND} when the object does not exist.
   * @throws {BLOB_CORRUPTED} when the length of the object is not `location.size`.
   */
  open(location: Location, start?: number, end?: number, into?: Uint8Array): AsyncIterable<Uint8Array>
  /** Returns the length of the object in bytes, or undefined if it does not exist. */
  size(location: Location): Promise<number | undefined>
  /**
   * Returns true if the object exists, and is undamaged as far as the backend can tell: a put then keeps the object, and
   * discards what it has staged. Optional: without this method a put compares the length.
   */
  has?(location: Location): Promise<boolean>
  /** Removes the object. Returns true if it existed. Safe to repeat. */
  remove(location: Location): Promise<boolean>
  /** Removes many objects at once. Optional: without this method they are removed one by one. Safe to repeat. */
  removeMany?(locations: readonly Location[]): Promise<void>
  /**
   * Yields every object, in the order of hash and generation, with its length. With `after`, only those behind this place.
   * May miss objects that are created or removed meanwhile.
   */
  list(options?: ListOptions): AsyncIterable<Location>
  /** Moves the object to quarantine if its bytes do not match its hash. Returns true if the object was moved. */
  quarantine(location: Location): Promise<boolean>
  /**
   * Yields what is in quarantine, in any order. Optional: leave it out if `quarantine` keeps no bytes. Without this method
   * nobody removes the bytes in quarantine, not even the erasure of an owner.
   */
  quarantined?(): AsyncIterable<Quarantined>
  /** Removes staged bytes that were last written before `before`; with `dryRun`, only counts. Returns the number found. */
  sweepStaged(before: Date, options?: { dryRun?: boolean }): Promise<number>
  /** Returns the absolute path that the object's file has if it exists, or undefined if the backend has no files. */
  path(location: Location): string | undefined
  /**
   * Returns a URL from which anybody can read the object for a time, without the storage. Does not check that the object
   * exists. Optional: without this method the backend has no URLs.
   */
  url?(location: Location, options: UrlOptions): Promise<string>
  /** Fails if the backend cannot be used now. */
  ping(): Promise<void>
  /**
   * Returns when the bytes of the object were staged, or undefined if it does not exist. If the backend has this method,
   * maintenance removes objects without a record that are more than a day old. Leave it out if other databases keep
   * their objects in the same place.
   */
  storedAt?(location: Location): Promise<Date | undefined>
  /** Releases connections and timers. `storage.close()` calls it last, if the backend has it. */
  close?(): Promise<void>
}

/** Damaged bytes that `BytesBackend.quarantine` has moved. */
export interface Quarantined {
  /** The hash that the bytes should have. */
  readonly hash: string
  /** When the bytes were moved. */
  readonly movedAt: Date
  /** Removes the bytes. Safe to repeat. */
  remove(): Promise<void>
}

export interface ListOptions {
  /** The place behind which the list begins. No object has to be there. */
  after?: Pick<Location, 'hash' | 'generation'> | undefined
}

type OptionalMember = 'type' | 'has' | 'removeMany' | 'quarantined' | 'url' | 'storedAt' | 'close'
type RequiredMethod = Exclude<keyof BytesBackend, OptionalMember>

const METHODS = {
  stage: true,
  open: true,
  size: true,
  remove: true,
  list: true,
  quarantine: true,
  sweepStaged: true,
  path: true,
  ping: true,
} as const satisfies Record<RequiredMethod, true>

export const bytesBackendSchema = backendSchema<BytesBackend>(METHODS)

/** Returns a generation that nobody has used for any content. */
export const newGeneration = (): string => randomBytes(8).toString('hex')

/** Returns true if the object exists and is undamaged, as far as the backend can tell. */
export async function hasObject(bytes: BytesBackend, location: Location): Promise<boolean> {
  return bytes.has ? bytes.has(location) : (await bytes.size(location)) === location.size
}

/** The size of one read or write. */
export const CHUNK_BYTES = 128 * 1024

/** The length of `Staged.head`. */
export const HEAD_BYTES = 4096

export const isHash = (text: string) => /^[0-9a-f]{64}$/.test(text)

const isGeneration = (text: string) => /^([0-9a-f]{16})?$/.test(text)

/** Returns the name of an object: its hash, and its generation behind a dot if it has one. */
export const objectName = ({ hash, generation }: Pick<Location, 'hash' | 'generation'>): string =>
  generation === '' ? hash : `${hash}.${generation}`

/** Returns what the name of an object says, or undefined if the text is no such name. */
export function parseObjectName(name: string): Pick<Location, 'hash' | 'generation'> | undefined {
  const [hash = '', generation = '', ...rest] = name.split('.')
  const location = { hash, generation }
  return isHash(hash) && isGeneration(generation) && rest.length === 0 && objectName(location) === name
    ? location
    : undefined
}

/** Returns a new name for an object in quarantine. */
export const quarantineName = (location: Pick<Location, 'hash' | 'generation'>): string =>
  `${objectName(location)}.${randomUUID()}`

/** Returns the hash in a name that `quarantineName` has made, or undefined for any other name. */
export function parseQuarantineName(name: string): string | undefined {
  const [, object = ''] = /^(.*)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(name) ?? []
  return parseObjectName(object)?.hash
}

/**
 * Checks a location before it becomes part of a path or a key.
 *
 * @throws {INVALID_INPUT} when the hash or the generation is malformed.
 */
export function checkLocation({ hash, generation }: Pick<Location, 'hash' | 'generation'>): void {
  if (!isHash(hash)) throw malformed('hash', 'A hash must be a SHA-256 as 64 lower-case hexadecimal digits')
  if (!isGeneration(generation)) {
    throw malformed('generation', 'A generation must be empty or 16 lower-case hexadecimal digits')
  }
}

const malformed = (path: string, message: string) =>
  new StorageError('INVALID_INPUT', message, { details: { problems: [{ path, message }] } })

export const blobTooLarge = (maxBytes: number) =>
  new StorageError('BLOB_TOO_LARGE', `The blob is larger than the ${maxBytes} bytes that maxBlobSize allows`, {
    details: { maxBytes },
  })

export const blobNotFound = (hash: string) =>
  new StorageError('BLOB_NOT_FOUND', 'The bytes of the blob are not in the blob store', { details: { hash } })

export const blobCorrupted = (hash: string, problem: string) =>
  new StorageError(
    'BLOB_CORRUPTED',
    `The bytes of the blob are damaged: ${problem}. Put the same content again to heal them`,
    { details: { hash } },
  )

export const stagedBytesGone = (hash: string) =>
  new StorageError('INVALID_STATE', 'The staged bytes are gone: put the blob again', {
    details: { hash },
    retryable: true,
  })
