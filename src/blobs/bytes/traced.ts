import { type BlobMessage, blobSteps, traced, withEnd } from '../../observability/channels.ts'
import type { DatabaseCounters } from '../../observability/counters.ts'
import type { BytesBackend, Location, Staged } from './backend.ts'

/** Returns a backend that does what `bytes` does, counts the bytes, and publishes its steps while somebody listens. */
export function tracedBytes(bytes: BytesBackend, counters: DatabaseCounters['blobBytes']): BytesBackend {
  const store = bytes.type
  const step = <T>(method: BlobMessage['method'], work: () => Promise<T>): Promise<T> =>
    blobSteps.hasSubscribers ? traced(blobSteps, { store, method }, work) : work()
  return {
    type: store,
    async stage(source, options) {
      const message: BlobMessage = { store, method: 'stage' }
      const work = async () => {
        const staged = await bytes.stage(source, options)
        message.bytes = staged.size
        counters.written += staged.size
        return staged
      }
      if (!blobSteps.hasSubscribers) return work()
      return tracedCommit(await traced(blobSteps, message, work), store)
    },
    open(location, start = 0, end = location.size, into) {
      const chunks = counted(bytes.open(location, start, end, into), counters)
      return blobSteps.hasSubscribers ? tracedChunks(chunks, { store, method: 'open' }) : chunks
    },
    size: (location) => bytes.size(location),
    ...(bytes.has && { has: async (location: Location) => bytes.has?.(location) ?? false }),
    remove: (location) => step('remove', () => bytes.remove(location)),
    ...(bytes.removeMany && {
      removeMany: (locations: readonly Location[]) => step('remove', async () => bytes.removeMany?.(locations)),
    }),
    list: (options) => bytes.list(options),
    quarantine: (location) => bytes.quarantine(location),
    ...(bytes.quarantined && { quarantined: bytes.quarantined.bind(bytes) }),
    sweepStaged: (before, options) => bytes.sweepStaged(before, options),
    path: (location) => bytes.path(location),
    ...(bytes.url && { url: bytes.url.bind(bytes) }),
    ping: () => bytes.ping(),
    ...(bytes.storedAt && { storedAt: async (location: Location) => bytes.storedAt?.(location) }),
    ...(bytes.close && { close: async () => bytes.close?.() }),
  }
}

function tracedCommit(staged: Staged, store: string): Staged {
  const { hash, size, head } = staged
  const commit: Staged['commit'] = (generation, options) =>
    traced(blobSteps, { store, method: 'commit', bytes: size }, () => staged.commit(generation, options))
  return { hash, size, head, commit, discard: () => staged.discard() }
}

/** Yields the chunks, and counts their bytes: the caller may want no more of them, or a chunk may fail. */
async function* counted(chunks: AsyncIterable<Uint8Array>, counters: DatabaseCounters['blobBytes']) {
  for await (const chunk of chunks) {
    counters.read += chunk.length
    yield chunk
  }
}

/** Yields the chunks. The message ends with the last one, or with the caller's interest in them. */
function tracedChunks(chunks: AsyncIterable<Uint8Array>, message: BlobMessage): AsyncGenerator<Uint8Array> {
  return withEnd(async function* (ended, end) {
    const published = traced(blobSteps, message, () => ended).catch(() => {}) // the caller gets the error
    let outcome = Promise.resolve()
    message.bytes = 0
    try {
      for await (const chunk of chunks) {
        message.bytes += chunk.length
        yield chunk
      }
    } catch (error) {
      outcome = Promise.reject(error)
      throw error
    } finally {
      end(outcome)
      await published
    }
  })
}
