import { createHash } from 'node:crypto'
import {
  type BytesBackend,
  blobCorrupted,
  blobNotFound,
  CHUNK_BYTES,
  checkLocation,
  HEAD_BYTES,
  type ListOptions,
  type Location,
  objectName,
  parseObjectName,
  type Staged,
  type StageOptions,
} from './backend.ts'
import { storedOnce, takeChunks } from './staged.ts'

/** Stores bytes in the memory of the process. Copies bytes on the way in and out. */
export class MemoryBytes implements BytesBackend {
  readonly type = 'in-memory'
  readonly #objects = new Map<string, Buffer>()
  readonly #onStage: () => void

  /** `onStage` is called before bytes are stored. */
  constructor(onStage: () => void = () => {}) {
    this.#onStage = onStage
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<Staged> {
    this.#onStage()
    const chunks: Buffer[] = []
    await takeChunks(source, options, (chunk) => chunks.push(Buffer.from(chunk)))
    const bytes = Buffer.concat(chunks)
    const hash = createHash('sha256').update(bytes).digest('hex')
    const store = async (generation: string) => void this.#objects.set(nameOf({ hash, generation }), bytes)
    return {
      hash,
      size: bytes.length,
      head: Uint8Array.from(bytes.subarray(0, HEAD_BYTES)),
      ...storedOnce(hash, { store, release: async () => {} }),
    }
  }

  async *open(location: Location, start = 0, end = location.size, into?: Uint8Array): AsyncGenerator<Uint8Array> {
    const { hash, size } = location
    const bytes = this.#get(location)
    if (!bytes) throw blobNotFound(hash)
    if (bytes.length !== size) throw blobCorrupted(hash, `${bytes.length} bytes instead of ${size}`)
    for (let at = start; at < end; at += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, end - at)
      const chunk = into?.subarray(at - start, at - start + length) ?? Buffer.allocUnsafeSlow(length)
      chunk.set(bytes.subarray(at, at + length))
      yield chunk
    }
  }

  async size(location: Location): Promise<number | undefined> {
    return this.#get(location)?.length
  }

  async remove(location: Location): Promise<boolean> {
    return this.#objects.delete(nameOf(location))
  }

  async *list({ after }: ListOptions = {}): AsyncGenerator<Location> {
    const from = after && nameOf(after)
    for (const [name, bytes] of [...this.#objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const location = parseObjectName(name)
      if (location && (from === undefined || name > from)) yield { ...location, size: bytes.length }
    }
  }

  /** Returns false: nothing outside of this class can damage the bytes. */
  async quarantine(location: Location): Promise<boolean> {
    checkLocation(location)
    return false
  }

  /** Returns 0: staged bytes are only held by the put that staged them. */
  async sweepStaged(): Promise<number> {
    return 0
  }

  path(location: Location): undefined {
    checkLocation(location)
  }

  async ping(): Promise<void> {}

  #get(location: Location): Buffer | undefined {
    return this.#objects.get(nameOf(location))
  }
}

function nameOf(location: Pick<Location, 'hash' | 'generation'>): string {
  checkLocation(location)
  return objectName(location)
}
