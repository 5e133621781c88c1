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
  readonly #directory: string
  readonly #file: FileHandle

  private constructor(directory: string, file: FileHandle) {
    this.#directory = directory
    this.#file = file
  }

  static async create(directory: string): Promise<StagedFile> {
    const path = join(directory, `holdfast-${randomUUID()}`)
    try {
      const file = await open(path, 'wx+', 0o600)
      await unlink(path)
      return new StagedFile(directory, file)
    } catch (error) {
      throw stagingError(error, 'stage.create', directory)
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, bytes).catch((error: unknown) => {
      throw stagingError(error, 'stage.write', this.#directory)
    })
  }

  /** Yields the bytes from the beginning, in two buffers in turn: a chunk is valid until the one after the next. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    let [buffer, other] = [Buffer.allocUnsafeSlow(CHUNK_BYTES), Buffer.allocUnsafeSlow(CHUNK_BYTES)]
    for (let at = 0; ; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, CHUNK_BYTES, at).catch((error: unknown) => {
        throw stagingError(error, 'stage.read', this.#directory)
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

/** Returns the error of a step. The directory is not that of the store: a bucket may have room if the disk here has none. */
const stagingError = (error: unknown, step: string, directory: string) =>
  fileError(error, step, `the directory for puts in progress (${directory})`)
