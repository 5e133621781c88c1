import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { StorageError } from '../errors.ts'
import { invalidInput } from '../validation/input.ts'
import { type BytesBackend, blobCorrupted, blobNotFound, type Content } from './bytes/backend.ts'

/** Bytes from `start` to `end`, both included and counted from 0, as in `fs.createReadStream` and HTTP ranges. */
export interface ByteRange {
  /** Default 0. From the end of the blob on, there is nothing to read. */
  start?: number | undefined
  /** Default, and at most, the last byte. */
  end?: number | undefined
}

/**
 * All the bytes, and never wrong ones. BLOB_NOT_FOUND when they are not there; BLOB_CORRUPTED when they are damaged,
 * and then the object is put into quarantine.
 */
export async function readBytes(bytes: BytesBackend, content: Content): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(content.size)
  const chunks = checkedChunks(bytes, content, 0, content.size, whole)
  while (!(await chunks.next()).done);
  return whole
}

/**
 * The bytes as a stream that holds a few chunks at a time, however large the blob is. When all of them are read, their
 * hash is checked on the way and the last chunk comes only if it is right, else the stream fails with BLOB_CORRUPTED;
 * of a range, only the length of the whole is checked. INVALID_INPUT, BLOB_NOT_FOUND before there is a stream.
 */
export async function readStream(bytes: BytesBackend, content: Content, range: ByteRange = {}): Promise<Readable> {
  const { start, end } = sliceOf(range, content.size)
  if ((await bytes.size(content.hash)) === undefined) throw blobNotFound(content.hash)
  return Readable.from(checkedChunks(bytes, content, start, end), { objectMode: false })
}

async function* checkedChunks(bytes: BytesBackend, content: Content, start: number, end: number, into?: Uint8Array) {
  const { hash, size } = content
  const running = end - start === size ? createHash('sha256') : undefined
  try {
    let at = start
    for await (const chunk of bytes.open(content, start, end, into)) {
      at += chunk.length
      running?.update(chunk)
      if (at === size && running && running.digest('hex') !== hash) throw blobCorrupted(hash, 'they have another hash')
      yield chunk
    }
  } catch (error) {
    const damaged = error instanceof StorageError && error.code === 'BLOB_CORRUPTED'
    if (damaged) await bytes.quarantine(hash).catch(() => {}) // what matters is that they are damaged
    throw error
  }
}

function sliceOf({ start = 0, end = Number.MAX_SAFE_INTEGER }: ByteRange, size: number) {
  if (!isOffset(start) || !isOffset(end) || start > end) {
    throw invalidInput([{ path: 'range', message: 'must be two whole numbers, 0 or more, start not after end' }])
  }
  return { start: Math.min(start, size), end: Math.min(end, size - 1) + 1 }
}

const isOffset = (value: number) => Number.isSafeInteger(value) && value >= 0
