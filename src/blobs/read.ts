import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { isStorageError } from '../errors.ts'
import { type BytesBackend, blobCorrupted, blobNotFound, type Location } from './bytes/backend.ts'
import type { ByteRange } from './types.ts'

/**
 * Returns all bytes of a content, after checking their hash. Moves damaged bytes to quarantine.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 * @throws {BLOB_CORRUPTED} when the bytes are damaged.
 */
export async function readBytes(bytes: BytesBackend, location: Location): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(location.size)
  const chunks = checkedChunks(bytes, location, 0, location.size, whole)
  while (!(await chunks.next()).done);
  return whole
}

/**
 * Checks that the bytes of a content exist and have its length.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 * @throws {BLOB_CORRUPTED} when the bytes have another length.
 */
export async function checkSize(bytes: BytesBackend, location: Location): Promise<void> {
  const { hash, size } = location
  const found = await bytes.size(location)
  if (found === undefined) throw blobNotFound(hash)
  if (found !== size) throw blobCorrupted(hash, `${found} bytes instead of ${size}`)
}

/**
 * Returns the bytes of a content, or a range of them, as a stream that holds a few chunks at a time. If all bytes are
 * read, the stream holds the last chunk back until their hash is checked, and fails with BLOB_CORRUPTED if it differs.
 * For a range, only the length of the content is checked.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes do not exist.
 */
export async function readStream(bytes: BytesBackend, location: Location, range: ByteRange = {}): Promise<Readable> {
  const { start, end } = sliceOf(range, location.size)
  if ((await bytes.size(location)) === undefined) throw blobNotFound(location.hash)
  return Readable.from(checkedChunks(bytes, location, start, end), { objectMode: false })
}

async function* checkedChunks(bytes: BytesBackend, location: Location, start: number, end: number, into?: Uint8Array) {
  const { hash, size } = location
  const running = end - start === size ? createHash('sha256') : undefined
  try {
    let at = start
    for await (const chunk of bytes.open(location, start, end, into)) {
      at += chunk.length
      running?.update(chunk)
      if (at === size && running && running.digest('hex') !== hash) throw blobCorrupted(hash, 'their hash differs')
      yield chunk
    }
  } catch (error) {
    const damaged = isStorageError(error, 'BLOB_CORRUPTED')
    if (damaged) await bytes.quarantine(location).catch(() => {}) // the damage is reported below, even if this fails
    throw error
  }
}

/** Returns the range as the arguments of `slice`: `end` is not included. */
function sliceOf({ start = 0, end = Number.MAX_SAFE_INTEGER }: ByteRange, size: number) {
  return { start: Math.min(start, size), end: Math.min(end, size - 1) + 1 }
}
