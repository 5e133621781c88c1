import { createHash } from 'node:crypto'
import {
  type BytesBackend,
  type ListOptions,
  type Location,
  type Staged,
  type StageOptions,
  StorageError,
} from 'holdfast'

const CHUNK = 64 * 1024

/** A backend as a program would write it, on the public types alone. Its objects are in a map that outlives the backend. */
export class MapBytes implements BytesBackend {
  readonly type: string
  readonly objects: Map<string, Uint8Array>
  closes = 0

  constructor({ type = 'map', objects = new Map() }: { type?: string; objects?: Map<string, Uint8Array> } = {}) {
    this.type = type
    this.objects = objects
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    const { bytes, hash } = await contentOf(source, options)
    let state: 'staged' | 'committed' | 'discarded' = 'staged'
    return {
      hash,
      size: bytes.length,
      head: bytes.slice(0, 4096),
      commit: async (generation) => {
        if (state === 'discarded') throw new StorageError('INVALID_STATE', 'discarded', { details: { hash } })
        if (state === 'staged') this.objects.set(keyOf({ hash, generation }), bytes)
        state = 'committed'
      },
      discard: async () => {
        if (state === 'staged') state = 'discarded'
      },
    }
  }

  async *open(location: Location, start?: number, end?: number, into?: Uint8Array): AsyncIterable<Uint8Array> {
    yield* chunksOf(this.#find(location), location, start, end, into)
  }

  async size(location: Location): Promise<number | undefined> {
    return this.#find(location)?.length
  }

  async remove(location: Location): Promise<boolean> {
    return this.objects.delete(keyOf(location))
  }

  async *list({ after }: ListOptions = {}): AsyncIterable<Location> {
    for (const key of [...this.objects.keys()].sort()) {
      if (after && key <= keyOf(after)) continue
      const [hash = '', generation = ''] = key.split('.')
      yield { hash, generation, size: this.objects.get(key)?.length ?? 0 }
    }
  }

  async quarantine(location: Location): Promise<boolean> {
    const bytes = this.#find(location)
    const isDamaged = bytes !== undefined && hashOf(bytes) !== location.hash
    return isDamaged && this.objects.delete(keyOf(location))
  }

  async sweepStaged(): Promise<number> {
    return 0
  }

  path(location: Location): undefined {
    this.#find(location)
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.closes++
  }

  #find(location: Location): Uint8Array | undefined {
    return this.objects.get(keyOf(location))
  }
}

/** Reads a source to its end. */
export async function contentOf(
  source: AsyncIterable<Uint8Array>,
  { maxBytes, signal }: StageOptions,
): Promise<{ bytes: Uint8Array; hash: string }> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of source) {
    signal?.throwIfAborted()
    size += chunk.length
    if (size > maxBytes) throw new StorageError('BLOB_TOO_LARGE', 'too large', { details: { maxBytes } })
    chunks.push(Uint8Array.from(chunk)) // not slice(): the slice of a Buffer shares its memory
  }
  signal?.throwIfAborted()
  const bytes = new Uint8Array(Buffer.concat(chunks))
  return { bytes, hash: hashOf(bytes) }
}

/** Yields a range of an object, if that is there and has the right length. */
export function* chunksOf(
  bytes: Uint8Array | undefined,
  { hash, size }: Location,
  start = 0,
  end = size,
  into?: Uint8Array,
): Iterable<Uint8Array> {
  if (bytes === undefined) throw new StorageError('BLOB_NOT_FOUND', 'no such object', { details: { hash } })
  if (bytes.length !== size) throw new StorageError('BLOB_CORRUPTED', 'another length', { details: { hash } })
  for (let at = start; at < end; at += CHUNK) {
    const chunk = bytes.slice(at, Math.min(end, at + CHUNK))
    into?.set(chunk, at - start)
    yield into?.subarray(at - start, at - start + chunk.length) ?? chunk
  }
}

export const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export function keyOf({ hash, generation }: Pick<Location, 'hash' | 'generation'>): string {
  const key = `${hash}.${generation}`
  if (/^[0-9a-f]{64}\.([0-9a-f]{16})?$/.test(key)) return key
  const problems = [{ path: 'hash', message: 'must be a SHA-256' }]
  throw new StorageError('INVALID_INPUT', 'not a location', { details: { problems } })
}
