import { blobTooLarge, checkLocation, type Staged, type StageOptions, stagedBytesGone } from './backend.ts'

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
  store(generation: string): Promise<void>
  /** Gives them up. Safe to repeat. */
  release(): Promise<void>
}

/** Returns how staged bytes are stored once, or given up. */
export function storedOnce(hash: string, { store, release }: Fate): Pick<Staged, 'commit' | 'discard'> {
  let state: 'staged' | 'committed' | 'discarded' = 'staged'
  return {
    commit: async (generation) => {
      checkLocation({ hash, generation })
      if (state === 'discarded') throw stagedBytesGone(hash)
      if (state === 'staged') await store(generation)
      state = 'committed'
      await release()
    },
    discard: async () => {
      if (state === 'staged') state = 'discarded'
      await release()
    },
  }
}
