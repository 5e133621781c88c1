import {
  blobTooLarge,
  type CommitOptions,
  type Content,
  checkLocation,
  type Staged,
  type StageOptions,
  stagedBytesGone,
} from './backend.ts'
import { HashingWriter } from './hashing-writer.ts'

interface Place {
  write(bytes: Uint8Array): Promise<void>
  /** Gives up what was written. Called once no write is running: a late one could hit another file with the same descriptor. */
  release(): Promise<unknown>
}

/**
 * Writes a source to a place, as `BytesBackend.stage` has to, and returns what it was. Releases the place if that fails.
 *
 * @throws {BLOB_TOO_LARGE} when the source has yielded more than `maxBytes` bytes
 */
export async function writeSource(
  source: AsyncIterable<Uint8Array>,
  options: StageOptions,
  { write, release }: Place,
): Promise<Content & { head: Uint8Array }> {
  const writer = new HashingWriter(write)
  try {
    await takeChunks(source, options, (chunk) => writer.add(chunk))
    return await writer.finish()
  } catch (error) {
    await writer.settled()
    await release()
    throw error
  }
}

/**
 * Hands each chunk of a source to `take`, as `BytesBackend.stage` has to.
 *
 * @throws {BLOB_TOO_LARGE} when the source has yielded more than `maxBytes` bytes
 */
export async function takeChunks(
  source: AsyncIterable<Uint8Array>,
  { maxBytes, signal }: StageOptions,
  take: (chunk: Uint8Array) => unknown,
): Promise<void> {
  let size = 0
  for await (const chunk of source) {
    signal?.throwIfAborted()
    size += chunk.length
    if (size > maxBytes) throw blobTooLarge(maxBytes)
    await take(chunk)
  }
  signal?.throwIfAborted()
}

/** What becomes of staged bytes that are in no place of the store yet. */
interface Fate {
  /** Makes them the object of a generation. Called again if it fails. */
  store(generation: string, options: CommitOptions): Promise<void>
  /** Gives them up. Safe to repeat. */
  release(): Promise<void>
}

/** Returns how staged bytes are stored once, or given up. */
export function storedOnce(hash: string, { store, release }: Fate): Pick<Staged, 'commit' | 'discard'> {
  let state: 'staged' | 'committed' | 'discarded' = 'staged'
  return {
    commit: async (generation, options = {}) => {
      checkLocation({ hash, generation })
      if (state === 'discarded') throw stagedBytesGone(hash)
      if (state === 'staged') await store(generation, options)
      state = 'committed'
      await release()
    },
    discard: async () => {
      if (state === 'staged') state = 'discarded'
      await release()
    },
  }
}
