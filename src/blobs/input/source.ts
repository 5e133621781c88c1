import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { isReadable, Readable } from 'node:stream'
import { types } from 'node:util'
import { StorageError } from '../../errors.ts'
import { invalidInput } from '../../validation/input.ts'
import { CHUNK_BYTES } from '../bytes/backend.ts'
import { decodeBase64, parseDataUri } from './data-uri.ts'
import { isMimeType } from './mime.ts'

/**
 * What `put` accepts: bytes, a stream or async iterable of bytes, a Blob or File, base64, a data URI, or the path of a
 * file. A bare string is rejected: it would be ambiguous whether it is text, base64 or a path.
 */
export type BlobInput =
  | Uint8Array
  | ArrayBuffer
  | AsyncIterable<Uint8Array>
  | ReadableStream<Uint8Array>
  | Blob
  | { base64: string }
  | { dataUri: string }
  | { path: string }

/** The bytes of an input, not yet read, and what the input says about them. */
export interface BlobSource {
  source: AsyncIterable<Uint8Array>
  name?: string
  mimeType?: string
  /** The number of bytes, if it is known before they are read. */
  size?: number
  /** Gives the source up, also during a read. Safe to repeat. Undefined if the bytes are in memory. */
  destroy?: () => void
}

/**
 * Checks an input without reading it. While the source is read, it fails with INVALID_INPUT if a chunk is not bytes or
 * the input fails; the error of the input is the `cause`.
 *
 * @throws {INVALID_INPUT} when the input is not a `BlobInput`, its base64 or data URI is malformed, its path is not a
 * readable file, or its stream has already been read.
 */
export async function blobSource(input: unknown): Promise<BlobSource> {
  if (types.isUint8Array(input)) return fromBytes(input)
  if (types.isArrayBuffer(input)) return fromBytes(viewOf(input))
  if (input instanceof Blob) return fromBlob(input)
  if (typeof input === 'object' && input !== null) {
    if (isAsyncIterable(input)) return fromIterable(input)
    const [[kind, value] = [], ...others] = Object.entries(input)
    if (typeof value === 'string' && others.length === 0) {
      if (kind === 'base64') return fromBytes(decodeBase64(value, 'base64'))
      if (kind === 'dataUri') return fromDataUri(value)
      if (kind === 'path') return fromFile(value)
    }
  }
  const given = input === null ? 'null' : typeof input
  const message = `must be bytes (for text, Buffer.from(text)), ArrayBuffer, stream, async iterable of bytes, Blob, { base64 }, { dataUri } or { path }, not ${given}`
  throw invalidInput([{ path: 'input', message }])
}

function fromBytes(bytes: Uint8Array): BlobSource {
  viewOf(bytes.buffer)
  async function* source() {
    viewOf(bytes.buffer)
    yield bytes
  }
  return { source: source(), size: bytes.length }
}

/**
 * Returns all bytes of a buffer.
 *
 * @throws {INVALID_INPUT} when the buffer was transferred, to a worker for example: the bytes of it have length 0 since.
 */
function viewOf(buffer: ArrayBufferLike): Uint8Array {
  try {
    return new Uint8Array(buffer)
  } catch (cause) {
    const message = 'must be bytes whose buffer was not transferred: put a copy, or put before the transfer'
    throw invalidInput([{ path: 'input', message }], cause)
  }
}

function fromBlob(blob: Blob): BlobSource {
  return {
    ...fromWebStream(blob.stream()),
    size: blob.size,
    name: (blob instanceof File && blob.name) || undefined,
    mimeType: isMimeType(blob.type) ? blob.type : undefined,
  }
}

function fromDataUri(uri: string): BlobSource {
  const { bytes, mimeType } = parseDataUri(uri)
  return { ...fromBytes(bytes), mimeType }
}

function fromIterable(iterable: AsyncIterable<unknown>): BlobSource {
  const stream = iterable as Readable // both checks below accept any object
  if (Readable.isDisturbed(stream) && !isReadable(stream)) {
    throw invalidInput([{ path: 'input', message: 'must be a stream that has not been read or destroyed' }])
  }
  if (iterable instanceof ReadableStream) return fromWebStream(iterable)
  const { on, destroy }: Partial<Readable> = stream
  on?.call(stream, 'error', () => {}) // it may fail before it is read, or once it has been given up
  return fromChunks(iterable, () => void destroy?.call(stream))
}

function fromWebStream(stream: ReadableStream<unknown>): BlobSource {
  let reader: ReadableStreamDefaultReader<unknown> | undefined
  const cancel = () => void (reader ?? stream).cancel().catch(() => {}) // the reader alone ends a read under way
  async function* read() {
    reader = stream.getReader()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        yield value
      }
    } finally {
      cancel()
    }
  }
  return fromChunks(read(), cancel)
}

/** Returns the source of these chunks. `stop` ends a read under way, if anything can. */
function fromChunks(given: AsyncIterable<unknown>, stop?: () => void): BlobSource {
  const source = validChunks(given)
  const destroy = () => {
    stop?.()
    source.return(undefined).catch(() => {}) // takes effect when the read under way has ended
  }
  return { source, destroy }
}

async function fromFile(path: string): Promise<BlobSource> {
  const found = await stat(path).catch((cause) => {
    throw invalidInput([{ path: 'input.path', message: 'cannot be read' }], cause)
  })
  if (!found.isFile()) throw invalidInput([{ path: 'input.path', message: 'is not a file' }])
  return { ...fromChunks(readFile(path)), size: found.size, name: basename(path) }
}

/** Yields the bytes of a file. All chunks share one buffer: `BytesBackend.stage` copies each before it asks for the next. */
async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  const file = await open(path)
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

/** Yields the chunks of a source, and turns every failure into INVALID_INPUT. */
async function* validChunks(source: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of source) {
      if (!types.isUint8Array(chunk)) {
        throw invalidInput([{ path: 'input', message: `must yield bytes (Uint8Array), not ${typeof chunk}` }])
      }
      if (chunk.length === 0) viewOf(chunk.buffer)
      yield chunk
    }
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    throw invalidInput([{ path: 'input', message: 'failed before its end' }], cause)
  }
}

const isAsyncIterable = (value: object): value is AsyncIterable<unknown> => Symbol.asyncIterator in value
