import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { isStorageError } from '../errors.ts'
import { type BytesBackend, blobCorrupted, blobNotFound, type Location } from './bytes/backend.ts'
import type { ByteRange } from './types.ts'

/** A content and the object that has it. */
export interface StoredObject {
  bytes: BytesBackend
  location: Location
  /** Returns where the content is now: another put may have stored it anew. Undefined if the content is gone. */
  relocate?(): Promise<Location | undefined>
}

/**
 * Returns all bytes of a content, after checking their hash. Moves damaged bytes to quarantine.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 * @throws {BLOB_CORRUPTED} when the bytes are damaged.
 */
export async function readBytes(object: StoredObject): Promise<ReturnType<typeof Buffer.alloc>> {
  const whole = Buffer.allocUnsafeSlow(object.location.size)
  const chunks = checkedChunks(object, 0, whole.length, whole)
  while (!(await chunks.next()).done);
  return whole
}

/**
 * Checks that the bytes of a content exist and have its length. Returns their location.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 * @throws {BLOB_CORRUPTED} when the bytes have another length.
 */
export async function checkSize(object: StoredObject): Promise<Location> {
  const { location, found } = await findObject(object)
  const { hash, size } = location
  if (found !== size) throw blobCorrupted(hash, `${found} bytes instead of ${size}`)
  return location
}

/**
 * Returns the bytes of a content, or a range of them, as a stream that holds a few chunks at a time. If all bytes are
 * read, the stream holds the last chunk back until their hash is checked, and fails with BLOB_CORRUPTED if it differs.
 * For a range, only the length of the content is checked.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 */
export async function readStream(object: StoredObject, range: ByteRange = {}): Promise<Readable> {
  const { start, end } = sliceOf(range, object.location.size)
  const { location } = await findObject(object)
  return Readable.from(checkedChunks({ ...object, location }, start, end), { objectMode: false })
}

/** Yields the bytes of a content, without a check of the hash. Goes on in another object if the content was stored anew. */
export async function* chunksOf(
  { bytes, location, relocate }: StoredObject,
  start = 0,
  end = location.size,
  into?: Uint8Array,
): AsyncGenerator<Uint8Array> {
  let at = start
  for (let from: Location | undefined = location; from !== undefined; ) {
    try {
      for await (const chunk of bytes.open(from, at, end, into?.subarray(at - start))) {
        at += chunk.length
        yield chunk
      }
      return
    } catch (error) {
      from = isStorageError(error, 'BLOB_NOT_FOUND') ? await otherThan(from, relocate) : undefined
      if (from === undefined) throw error
    }
  }
}

async function* checkedChunks(object: StoredObject, start: number, end: number, into?: Uint8Array) {
  const { hash, size } = object.location
  const running = end - start === size ? createHash('sha256') : undefined
  try {
    let at = start
    for await (const chunk of chunksOf(object, start, end, into)) {
      at += chunk.length
      running?.update(chunk)
      if (at === size && running && running.digest('hex') !== hash) throw blobCorrupted(hash, 'their hash differs')
      yield chunk
    }
  } catch (error) {
    if (isStorageError(error, 'BLOB_CORRUPTED')) await quarantine(object).catch(() => {}) // the damage is reported below
    throw error
  }
}

async function quarantine({ bytes, location, relocate }: StoredObject): Promise<void> {
  await bytes.quarantine((await relocate?.()) ?? location)
}

/** Returns the length of the object, and its location if the content was stored anew. */
async function findObject({ bytes, location, relocate }: StoredObject): Promise<{ location: Location; found: number }> {
  for (let at: Location | undefined = location; at !== undefined; at = await otherThan(at, relocate)) {
    const found = await bytes.size(at)
    if (found !== undefined) return { location: at, found }
  }
  throw blobNotFound(location.hash)
}

/** Returns where a content is, if it is elsewhere. */
async function otherThan({ generation }: Location, relocate: StoredObject['relocate']): Promise<Location | undefined> {
  const now = await relocate?.()
  return now?.generation === generation ? undefined : now
}

/** Returns the range as the arguments of `slice`: `end` is not included. */
function sliceOf({ start = 0, end = Number.MAX_SAFE_INTEGER }: ByteRange, size: number) {
  return { start: Math.min(start, size), end: Math.min(end, size - 1) + 1 }
}
