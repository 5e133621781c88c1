import { createHash } from 'node:crypto'
import { type BytesBackend, type Content, type Staged, StorageError } from 'holdfast'

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

  async stage(source: AsyncIterable<Uint8Array>, { maxBytes }: { maxBytes: number }): Promise<Staged> {
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of source) {
      size += chunk.length
      if (size > maxBytes) throw new StorageError('BLOB_TOO_LARGE', 'too large', { details: { maxBytes } })
      chunks.push(Uint8Array.from(chunk)) // not slice(): the slice of a Buffer shares its memory
    }
    const bytes = new Uint8Array(Buffer.concat(chunks))
    const hash = createHash('sha256').update(bytes).digest('hex')
    let state: 'staged' | 'committed' | 'discarded' = 'staged'
    return {
      hash,
      size,
      head: bytes.slice(0, 4096),
      commit: async () => {
        if (state === 'discarded') throw new StorageError('INVALID_STATE', 'discarded', { details: { hash } })
        if (state === 'staged') this.objects.set(hash, bytes)
        state = 'committed'
      },
      discard: async () => {
        if (state === 'staged') state = 'discarded'
      },
    }
  }

  async *open({ hash, size }: Content, start = 0, end = size, into?: Uint8Array): AsyncIterable<Uint8Array> {
    const bytes = this.#find(hash)
    if (bytes === undefined) throw new StorageError('BLOB_NOT_FOUND', 'no such object', { details: { hash } })
    if (bytes.length !== size) throw new StorageError('BLOB_CORRUPTED', 'another length', { details: { hash } })
    for (let at = start; at < end; at += CHUNK) {
      const chunk = bytes.slice(at, Math.min(end, at + CHUNK))
      into?.set(chunk, at - start)
      yield into?.subarray(at - start, at - start + chunk.length) ?? chunk
    }
  }

  async size(hash: string): Promise<number | undefined> {
    return this.#find(hash)?.length
  }

  async remove(hash: string): Promise<boolean> {
    this.#find(hash)
    return this.objects.delete(hash)
  }

  async *list(): AsyncIterable<Content> {
    for (const [hash, bytes] of this.objects) yield { hash, size: bytes.length }
  }

  async quarantine(hash: string): Promise<boolean> {
    const bytes = this.#find(hash)
    const isDamaged = bytes !== undefined && createHash('sha256').update(bytes).digest('hex') !== hash
    return isDamaged && this.objects.delete(hash)
  }

  async sweepStaged(): Promise<number> {
    return 0
  }

  path(hash: string): undefined {
    this.#find(hash)
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.closes++
  }

  #find(hash: string): Uint8Array | undefined {
    if (/^[0-9a-f]{64}$/.test(hash)) return this.objects.get(hash)
    const problems = [{ path: 'hash', message: 'must be a SHA-256' }]
    throw new StorageError('INVALID_INPUT', 'not a hash', { details: { problems } })
  }
}
