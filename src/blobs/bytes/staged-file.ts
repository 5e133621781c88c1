import { randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CHUNK_BYTES } from './backend.ts'
import { fileError } from './errors.ts'
import { writeAll } from './files.ts'

/**
 * A file for the bytes of one put. It has no name: the system removes it as soon as it is closed, even if the process is
 * killed.
 */
export class StagedFile {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async create(directory: string): Promise<StagedFile> {
    const path = join(directory, `holdfast-${randomUUID()}`)
    try {
      const file = await open(path, 'wx+', 0o600)
      await unlink(path)
      return new StagedFile(file)
    } catch (error) {
      throw fileError(error, 'stage.create')
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, bytes).catch((error: unknown) => {
      throw fileError(error, 'stage.write')
    })
  }

  /** Yields the bytes from the beginning, in two buffers in turn: a chunk is valid until the one after the next. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    let [buffer, other] = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)]
    for (let at = 0; ; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, CHUNK_BYTES, at).catch((error: unknown) => {
        throw fileError(error, 'stage.read')
      })
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
      ;[buffer, other] = [other, buffer]
    }
  }

  /** Removes the file. Safe to repeat. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => {})
  }
}
