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
 * What a blob can be made of: bytes, a stream or an async iterable of bytes, a Blob or File, or text and files by name.
 * A bare string is none of them, since nobody can tell whether it is text, base64 or a path.
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

/** An input as bytes to come, and what it says of itself. */
export interface BlobSource {
  source: AsyncIterable<Uint8Array>
  name?: string
  mimeType?: string
  /** The number of bytes, where it is known before they are read. */
  size?: number
}

/**
 * Looks at an input without reading it. INVALID_INPUT for what is no BlobInput, for malformed base64 and data URIs, for
 * a path that is no file and for a stream that has been read already. While it is read, the source fails with
 * INVALID_INPUT on a chunk that is not bytes, and with the input's own error as `cause` when the input fails.
 */
export async function blobSource(input: unknown): Promise<BlobSource> {
  if (types.isUint8Array(input)) return ofBytes(input)
  if (types.isArrayBuffer(input)) return ofBytes(new Uint8Array(input))
  if (input instanceof Blob) return ofBlob(input)
  if (typeof input === 'object' && input !== null) {
    if (isAsyncIterable(input)) return ofIterable(input)
    const [[kind, value] = [], ...others] = Object.entries(input)
    if (typeof value === 'string' && others.length === 0) {
      if (kind === 'base64') return ofBytes(decodeBase64(value, 'base64'))
      if (kind === 'dataUri') return ofDataUri(value)
      if (kind === 'path') return ofFile(value)
    }
  }
  const given = input === null ? 'null' : typeof input
  const message = `must be bytes (for text, Buffer.from(text)), ArrayBuffer, stream, async iterable of bytes, Blob, { base64 }, { dataUri } or { path }, not ${given}`
  throw invalidInput([{ path: 'input', message }])
}

function ofBytes(bytes: Uint8Array): BlobSource {
  async function* source() {
    yield bytes
  }
  return { source: source(), size: bytes.length }
}

function ofBlob(blob: Blob): BlobSource {
  return {
    source: bytesOnly(blob.stream()),
    size: blob.size,
    name: (blob instanceof File && blob.name) || undefined,
    mimeType: isMimeType(blob.type) ? blob.type : undefined,
  }
}

function ofDataUri(uri: string): BlobSource {
  const { bytes, mimeType } = parseDataUri(uri)
  return { ...ofBytes(bytes), mimeType }
}

function ofIterable(iterable: AsyncIterable<unknown>): BlobSource {
  const stream = iterable as Readable // both questions may be asked about anything
  if (Readable.isDisturbed(stream) && !isReadable(stream)) {
    throw invalidInput([{ path: 'input', message: 'must be a stream that has not been read or destroyed already' }])
  }
  return { source: bytesOnly(iterable) }
}

async function ofFile(path: string): Promise<BlobSource> {
  const found = await stat(path).catch((cause) => {
    throw invalidInput([{ path: 'input.path', message: 'cannot be read' }], cause)
  })
  if (!found.isFile()) throw invalidInput([{ path: 'input.path', message: 'is not a file' }])
  return { source: bytesOnly(contentOf(path)), size: found.size, name: basename(path) }
}

/** All chunks are in the same buffer: whoever reads them copies each before the next. */
async function* contentOf(path: string): AsyncGenerator<Uint8Array> {
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

async function* bytesOnly(source: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of source) {
      if (!types.isUint8Array(chunk)) {
        throw invalidInput([{ path: 'input', message: `must yield bytes (Uint8Array), not ${typeof chunk}` }])
      }
      yield chunk
    }
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    throw invalidInput([{ path: 'input', message: 'failed before its end' }], cause)
  }
}

const isAsyncIterable = (value: object): value is AsyncIterable<unknown> => Symbol.asyncIterator in value
