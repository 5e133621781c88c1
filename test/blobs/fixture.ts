import { createHash } from 'node:crypto'
import { chmodSync, readdirSync } from 'node:fs'
import type { BytesBackend, Location } from '../../src/blobs/bytes/backend.ts'
import { LocalBytes, type StepHook } from '../../src/blobs/bytes/local.ts'
import { readBytes as readObject, readStream as streamObject } from '../../src/blobs/read.ts'
import type { ByteRange } from '../../src/blobs/types.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

export const NO_LIMIT = { maxBytes: Number.MAX_SAFE_INTEGER }

/** Opens a local store, by default in a new directory. */
export async function openStore(onStep?: StepHook, storePath = temporaryDirectory('blobs')) {
  return { storePath, bytes: await LocalBytes.open({ storePath, onStep }) }
}

/** Stores an object, by default one without a generation. */
export async function put(bytes: BytesBackend, data: Uint8Array, generation = ''): Promise<Location> {
  const staged = await bytes.stage(source(data), NO_LIMIT)
  await staged.commit(generation).finally(() => staged.discard())
  return { hash: staged.hash, size: staged.size, generation }
}

export async function* source(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

export async function list(bytes: BytesBackend): Promise<Location[]> {
  const locations: Location[] = []
  for await (const location of bytes.list()) locations.push(location)
  return locations
}

/** Returns the bytes of an object, after checking their hash. */
export const readBytes = (bytes: BytesBackend, location: Location) => readObject({ bytes, location })

/** Returns the bytes of an object, or a range of them, as a stream. */
export const readStream = (bytes: BytesBackend, location: Location, range?: ByteRange) =>
  streamObject({ bytes, location }, range)

/** Makes an object writable for its owner, so that a test can damage it. Returns its path. */
export function writable(path: string): string {
  chmodSync(path, 0o600)
  return path
}

/** Returns the place of an object without a generation. */
export const firstOf = (hash: string): Location => ({ hash, size: 0, generation: '' })

export const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** Returns the number of files, sockets and pipes that this process has open. */
export const openDescriptors = () => readdirSync('/dev/fd').length
