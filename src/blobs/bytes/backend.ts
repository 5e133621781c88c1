import { StorageError } from '../../errors.ts'

/** Bytes are known by their SHA-256, as 64 lower-case hexadecimal digits, and their length. */
export interface Content {
  readonly hash: string
  readonly size: number
}

/**
 * Bytes that are written down, or on their way to the disk, but not yet an object: nobody can open them, and a crash
 * leaves them to `sweepStaged`.
 */
export interface Staged extends Content {
  /** The first 4 KiB, to tell the type by. */
  readonly head: Uint8Array
  /**
   * Makes them the object of their hash, durably: after it resolves they survive a power cut. What stood there is
   * replaced, so that a damaged object is healed. Safe to repeat, also after a failure. INVALID_STATE when the bytes
   * were discarded or swept away.
   */
  commit(): Promise<void>
  /** Gives them up; does nothing after `commit`. */
  discard(): Promise<void>
}

/**
 * Where the bytes of blobs are kept, apart from their records. It knows nothing of ids, names or quotas: whoever calls
 * decides when an object may be made or removed. A hash of the wrong shape is INVALID_INPUT everywhere.
 *
 * What the disk refuses fails with DISK_FULL, READ_ONLY or DATABASE_FAILED. `bytesContract` of `holdfast/testing` says
 * all of this as tests.
 */
export interface BytesBackend {
  readonly type: string
  /**
   * Writes down what the source yields, in bounded memory. Each chunk is copied before the next is asked for, so the
   * source may reuse its buffer. BLOB_TOO_LARGE as soon as there are more than `maxBytes`; an error of the source is
   * thrown as it is. A failure leaves nothing behind.
   */
  stage(source: AsyncIterable<Uint8Array>, limits: { maxBytes: number }): Promise<Staged>
  /**
   * The bytes from `start` up to, not including, `end` (as `slice` has it), in chunks that are the caller's to keep.
   * With `into`, which is as long as they are, they are written there, and the chunks are its parts.
   * BLOB_NOT_FOUND when there is no such object, BLOB_CORRUPTED when its length is not `content.size`. The hash is not
   * checked.
   */
  open(content: Content, start?: number, end?: number, into?: Uint8Array): AsyncIterable<Uint8Array>
  /** The length of the object, or undefined when there is none. */
  size(hash: string): Promise<number | undefined>
  /** Whether it was there. Safe to repeat. */
  remove(hash: string): Promise<boolean>
  /** Every object, in no order; those that come and go meanwhile may be missed. */
  list(): AsyncIterable<Content>
  /** Sets the object aside if its bytes do not have its hash, and returns whether it did; a sound one stays. */
  quarantine(hash: string): Promise<boolean>
  /** Removes (or, dry, counts) staged bytes that were last written before then; returns how many. */
  sweepStaged(before: Date, options?: { dryRun?: boolean }): Promise<number>
  /** The absolute path of the object's file, were it there; undefined where there are no files. */
  path(hash: string): string | undefined
  /** Fails if the backend cannot be used now. */
  ping(): Promise<void>
}

/** How much is read or written at once. */
export const CHUNK_BYTES = 128 * 1024

/** How much of the beginning tells the type. */
export const HEAD_BYTES = 4096

export const isHash = (text: string) => /^[0-9a-f]{64}$/.test(text)

/** Keeps anything but a hash out of paths and keys. */
export function checkHash(hash: string): void {
  if (!isHash(hash)) {
    const message = 'A hash is a SHA-256 as 64 lower-case hexadecimal digits'
    throw new StorageError('INVALID_INPUT', message, { details: { problems: [{ path: 'hash', message }] } })
  }
}

export const blobTooLarge = (maxBytes: number) =>
  new StorageError('BLOB_TOO_LARGE', `The blob is larger than the ${maxBytes} bytes that maxBlobSize allows`, {
    details: { maxBytes },
  })

export const blobNotFound = (hash: string) =>
  new StorageError('BLOB_NOT_FOUND', 'The bytes of the blob are not in the blob store', { details: { hash } })

export const blobCorrupted = (hash: string, what: string) =>
  new StorageError('BLOB_CORRUPTED', `The bytes of the blob are damaged: ${what}; put the same content to heal it`, {
    details: { hash },
  })

export const stagedBytesGone = (hash: string) =>
  new StorageError('INVALID_STATE', 'The staged bytes are gone: put the blob again', {
    details: { hash },
    retryable: true,
  })
