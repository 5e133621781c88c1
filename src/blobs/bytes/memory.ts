import { createHash } from 'node:crypto'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  blobTooLarge,
  CHUNK_BYTES,
  type Content,
  checkHash,
  HEAD_BYTES,
  type Staged,
  stagedBytesGone,
} from './backend.ts'

/** Stores bytes in the memory of the process. Copies bytes on the way in and out. */
export class MemoryBytes implements BytesBackend {
  readonly type = 'in-memory'
  readonly #objects = new Map<string, Buffer>()

  async stage(source: AsyncIterable<Uint8Array>, { maxBytes }: { maxBytes: number }): Promise<Staged> {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of source) {
      size += chunk.length
      if (size > maxBytes) throw blobTooLarge(maxBytes)
      chunks.push(Buffer.from(chunk))
    }
    const bytes = Buffer.concat(chunks)
    const hash = createHash('sha256').update(bytes).digest('hex')
    let state: 'staged' | 'committed' | 'discarded' = 'staged'
    return {
      hash,
      size,
      head: Uint8Array.from(bytes.subarray(0, HEAD_BYTES)),
      commit: async () => {
        if (state === 'discarded') throw stagedBytesGone(hash)
        if (state === 'staged') this.#objects.set(hash, bytes)
        state = 'committed'
      },
      discard: async () => {
        if (state === 'staged') state = 'discarded'
      },
    }
  }

  async *open({ hash, size }: Content, start = 0, end = size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const bytes = this.#get(hash)
    if (!bytes) throw blobNotFound(hash)
    if (bytes.length !== size) throw blobCorrupted(hash, `${bytes.length} bytes instead of ${size}`)
    for (let at = start; at < end; at += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, end - at)
      const chunk = into?.subarray(at - start, at - start + length) ?? Buffer.allocUnsafeSlow(length)
      chunk.set(bytes.subarray(at, at + length))
      yield chunk
    }
  }

  async size(hash: string): Promise<number | undefined> {
    return this.#get(hash)?.length
  }

  async remove(hash: string): Promise<boolean> {
    checkHash(hash)
    return this.#objects.delete(hash)
  }

  async *list(): AsyncGenerator<Content> {
    for (const [hash, bytes] of this.#objects) yield { hash, size: bytes.length }
  }

  /** Returns false: nothing outside of this class can damage the bytes. */
  async quarantine(hash: string): Promise<boolean> {
    checkHash(hash)
    return false
  }

  /** Returns 0: staged bytes are only held by the put that staged them. */
  async sweepStaged(): Promise<number> {
    return 0
  }

  path(hash: string): undefined {
    checkHash(hash)
  }

  async ping(): Promise<void> {}

  #get(hash: string): Buffer | undefined {
    checkHash(hash)
    return this.#objects.get(hash)
  }
}
