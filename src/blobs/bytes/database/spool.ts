import { tmpdir } from 'node:os'
import { StagedFile } from '../staged-file.ts'

/** Up to this size the bytes of a put stay in memory. */
const MEMORY_BYTES = 1024 * 1024

/** Keeps the bytes of one put until they go into the database: in memory, or in a temporary file without a name. */
export class Spool {
  #memory: Uint8Array[] = []
  #size = 0
  #file: StagedFile | undefined

  /** True if all bytes are in memory. */
  get isInMemory(): boolean {
    return this.#file === undefined
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length
    if (this.#file === undefined && this.#size <= MEMORY_BYTES) {
      this.#memory.push(Uint8Array.from(bytes))
      return
    }
    this.#file ??= await StagedFile.create(tmpdir())
    for (const kept of this.#memory.splice(0)) await this.#file.write(kept)
    await this.#file.write(bytes)
  }

  /** Yields the bytes from the beginning, in parts of at most `size` bytes. Yields an empty part if there are no bytes. */
  async *parts(size: number): AsyncGenerator<Uint8Array> {
    let part = Buffer.allocUnsafeSlow(Math.min(size, this.#size))
    let filled = 0
    let left = this.#size
    for await (const chunk of this.#file?.chunks() ?? this.#memory) {
      for (let at = 0; at < chunk.length; ) {
        const taken = chunk.subarray(at, at + part.length - filled)
        part.set(taken, filled)
        at += taken.length
        filled += taken.length
        if (filled < part.length) continue
        yield part
        left -= filled
        part = Buffer.allocUnsafeSlow(Math.min(size, left))
        filled = 0
      }
    }
    if (this.#size === 0) yield part
  }

  /** Removes the bytes. Safe to repeat. */
  async close(): Promise<void> {
    this.#memory = []
    await this.#file?.close()
  }
}
