import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { BytesBackend, Location, Staged } from '../blobs/bytes/backend.ts'

// What the cases of the contract do to a backend.

export const CHUNK = 128 * 1024
export const GENERATION = '0123456789abcdef'
export const NO_LIMIT = { maxBytes: Number.MAX_SAFE_INTEGER }

export async function put(bytes: BytesBackend, chunks: Uint8Array[], generation?: string): Promise<Location & Staged> {
  const staged = await bytes.stage(from(chunks), NO_LIMIT)
  return { ...staged, ...(await commit(staged, generation)) }
}

export async function commit(staged: Staged, generation = randomBytes(8).toString('hex')): Promise<Location> {
  await staged.commit(generation)
  return { hash: staged.hash, size: staged.size, generation }
}

export async function read(bytes: BytesBackend, location: Location, start?: number, end?: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes.open(location, start, end)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export async function list(bytes: BytesBackend, after?: Location): Promise<Location[]> {
  const locations: Location[] = []
  for await (const location of after ? bytes.list({ after }) : bytes.list()) locations.push(location)
  return locations
}

export async function assertNothingStaged(bytes: BytesBackend): Promise<void> {
  assert.equal(await bytes.sweepStaged(new Date(Date.now() + 60_000), { dryRun: true }), 0, 'something was left staged')
}

export async function* from(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

export const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

export const placeOf = ({ hash, size, generation }: Location): Location => ({ hash, size, generation })

export const inOrder = (a: Location, b: Location) =>
  `${a.hash}.${a.generation}` < `${b.hash}.${b.generation}` ? -1 : 1
