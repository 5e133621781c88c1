import { createHash } from 'node:crypto'
import { CHUNK_BYTES, type Content, HEAD_BYTES } from './backend.ts'

/** The first buffer is small: V8 would collect garbage more often if small blobs took large buffers. */
const FIRST_BUFFER_BYTES = 16 * 1024

/**
 * Collects chunks in two buffers of its own: one is written and hashed while the other is filled. So memory is bounded,
 * and the hash is the hash of the written bytes, even if the source changes its chunks.
 */
export class HashingWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  readonly #hash = createHash('sha256')
  #filling: Buffer | undefined
  #filled = 0
  #written: Buffer | undefined
  #writing: Promise<void> = Promise.resolve()
  #head: Uint8Array = new Uint8Array()
  #size = 0

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  /** Copies a chunk. Waits if both buffers are full. */
  async add(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      this.#filling ??= this.#newBuffer(chunk.length)
      const part = chunk.subarray(at, at + this.#filling.length - this.#filled)
      this.#filling.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === this.#filling.length) await this.#flush()
    }
  }

  /** Writes the rest, and returns the content. */
  async finish(): Promise<Content & { head: Uint8Array }> {
    await this.#flush()
    await this.#writing
    return { hash: this.#hash.digest('hex'), size: this.#size, head: this.#head }
  }

  /** Waits until no write is running. Ignores whether the last write failed. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => {})
  }

  async #flush(): Promise<void> {
    await this.#writing
    if (!this.#filling || this.#filled === 0) return
    const bytes = this.#filling.subarray(0, this.#filled)
    this.#writing = this.#write(bytes)
    this.#writing.catch(() => {}) // the next flush, or finish(), throws it
    this.#hash.update(bytes)
    if (this.#size === 0) this.#head = Uint8Array.from(bytes.subarray(0, HEAD_BYTES))
    this.#size += bytes.length
    const free = this.#written?.length === CHUNK_BYTES ? this.#written : undefined
    this.#written = this.#filling
    this.#filling = free
    this.#filled = 0
  }

  #newBuffer(expected: number): Buffer {
    const wanted = this.#size === 0 ? Math.max(expected, FIRST_BUFFER_BYTES) : CHUNK_BYTES
    return Buffer.allocUnsafeSlow(Math.min(wanted, CHUNK_BYTES))
  }
}
