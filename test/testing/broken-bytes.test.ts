import type { BytesBackend, Location, Staged } from 'holdfast'
import { bytesContract } from 'holdfast/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hashOf, keyOf } from '../own-bytes.ts'
import { FullBytes, serveUrls } from './full-bytes.ts'

// Backends that a program might write, each with one mistake: a case of the contract must find it.

let current = new FullBytes()
let served: Awaited<ReturnType<typeof serveUrls>>

beforeAll(async () => {
  served = await serveUrls(() => current)
})
afterAll(() => served.close())

const damage = async (bytes: FullBytes, location: Location, data: Uint8Array) => {
  bytes.objects.set(keyOf(location), { bytes: data, at: new Date() })
}

/** Returns the name of the first case that a backend fails. */
async function failureOf(change: (bytes: FullBytes) => Partial<BytesBackend>, hasUrls: boolean) {
  const open = async () => {
    current = new FullBytes(served.endpoint)
    return Object.assign(current, hasUrls ? {} : { url: undefined }, change(current))
  }
  for (const { name, run } of bytesContract(open, { damage })) {
    const outcome = await run().then(
      () => undefined,
      () => name,
    )
    if (outcome !== undefined) return outcome
  }
  return undefined
}

const wrong: Record<string, (bytes: FullBytes) => Partial<BytesBackend>> = {
  'quarantine() does nothing': (bytes) => ({
    quarantine: async (location) => keyOf(location) === '' && bytes.objects.clear() === undefined,
  }),
  'quarantine() says that it moved, and leaves the object': (bytes) => ({
    quarantine: async (location) => !(await bytes.has(location)) && bytes.find(location) !== undefined,
  }),
  'quarantine() compares the length alone': (bytes) => ({
    quarantine: async (location) => {
      const held = bytes.find(location)
      return held !== undefined && held.bytes.length !== location.size && bytes.objects.delete(keyOf(location))
    },
  }),
  'quarantine() takes a wrong size of the caller for damage': (bytes) => {
    const quarantine = bytes.quarantine.bind(bytes)
    return {
      quarantine: async (location) =>
        bytes.find(location)?.bytes.length === location.size || bytes.find(location) === undefined
          ? quarantine(location)
          : bytes.objects.delete(keyOf(location)),
    }
  },
  'quarantine() keeps bytes that quarantined() does not yield': () => ({ async *quarantined() {} }),
  'quarantined() tells the time of the put': (bytes) => ({
    async *quarantined() {
      for (const [key, { hash }] of bytes.moved) {
        yield { hash, movedAt: new Date(0), remove: async () => void bytes.moved.delete(key) }
      }
    },
  }),
  'quarantined() yields what cannot be removed': (bytes) => ({
    async *quarantined() {
      for (const { hash, at } of bytes.moved.values()) yield { hash, movedAt: at, remove: async () => {} }
    },
  }),
  'has() finds an object that is cut off': (bytes) => ({
    has: async ({ hash, size, generation }) => bytes.find({ hash, generation }) !== undefined && size !== 5,
  }),
  'removeMany() does not check its locations': (bytes) => ({
    removeMany: async (locations) => {
      for (const { hash, generation } of locations) bytes.objects.delete(`${hash}.${generation}`)
    },
  }),
  'removeMany() stops at an object that is gone': (bytes) => ({
    removeMany: async (locations) => {
      locations.map(keyOf)
      for (const location of locations) if (!(await bytes.remove(location))) return
    },
  }),
  'remove() compares the size': (bytes) => ({
    remove: async (location) =>
      [undefined, location.size].includes(bytes.find(location)?.bytes.length) && bytes.objects.delete(keyOf(location)),
  }),
  'list() yields the first thousand': (bytes) => {
    const list = bytes.list.bind(bytes)
    return {
      async *list(options) {
        let count = 0
        for await (const location of list(options)) if (count++ < 1000) yield location
      },
    }
  },
  'two stagings of a content are one': (bytes) => {
    bytes.stagedKey = (hash) => hash
    return {}
  },
  'discard() discards every staging of its content': (bytes) => {
    const stagedAs = bytes.stagedAs.bind(bytes)
    bytes.stagedAs = (key, hash, data) => ({
      ...stagedAs(key, hash, data),
      discard: async () => {
        for (const [other, held] of bytes.staged) if (hashOf(held.bytes) === hash) bytes.staged.delete(other)
      },
    })
    return {}
  },
  'sweepStaged() removes in a dry run': (bytes) => {
    const sweep = bytes.sweepStaged.bind(bytes)
    return { sweepStaged: (before) => sweep(before) }
  },
  'sweepStaged() counts, and removes nothing': (bytes) => {
    const sweep = bytes.sweepStaged.bind(bytes)
    return { sweepStaged: (before) => sweep(before, { dryRun: true }) }
  },
  'commit() of what was swept resolves, and stores nothing': (bytes) => {
    const stagedAs = bytes.stagedAs.bind(bytes)
    bytes.stagedAs = (key, hash, data) => {
      let isDiscarded = false
      const { commit, discard } = stagedAs(key, hash, data)
      return {
        commit: (generation) =>
          commit(generation).catch((error) => {
            if (isDiscarded || error.code === 'INVALID_INPUT') throw error
          }),
        discard: () => {
          isDiscarded = true
          return discard()
        },
      }
    }
    return {}
  },
  'commit() with an aborted signal leaves bytes that cannot be committed again': (bytes) =>
    changedStaging(bytes, ({ commit, discard }) => ({
      discard,
      commit: async (generation, { signal } = {}) => {
        if (signal?.aborted) await discard()
        signal?.throwIfAborted()
        await commit(generation)
      },
    })),
  'commit() with an aborted signal rejects with an error of its own': (bytes) =>
    changedStaging(bytes, ({ commit, discard }) => ({
      discard,
      commit: async (generation, { signal } = {}) => {
        if (signal?.aborted) throw new Error('aborted')
        await commit(generation)
      },
    })),
  'stage() does not see that its signal was aborted before': (bytes) => {
    const stage = bytes.stage.bind(bytes)
    return {
      stage: (source, { maxBytes, signal }) =>
        stage(source, { maxBytes, signal: signal?.aborted ? undefined : signal }),
    }
  },
  'open() of nothing finds what is not there': (bytes) => {
    const open = bytes.open.bind(bytes)
    return {
      async *open(location, start = 0, end = location.size, into?) {
        keyOf(location)
        if (end > start || end === 0) yield* open(location, start, end, into)
      },
    }
  },
  'path() is no path of the object': () => ({ path: (location) => keyOf(location) && '/tmp/none' }),
  'storedAt() is the present': (bytes) => ({
    storedAt: async (location) => (bytes.find(location) ? new Date() : undefined),
  }),
  'url() does not check its location': (bytes) => ({
    url: async ({ hash, generation }, { expiresSeconds, disposition, mimeType }) => {
      const query = new URLSearchParams({ until: String(Date.now() + expiresSeconds * 1000), disposition, mimeType })
      return `${served.endpoint}/${encodeURIComponent(`${hash}.${generation}`)}?${query}${bytes.type.slice(4)}`
    },
  }),
  'url() takes milliseconds': (bytes) => {
    const url = bytes.url.bind(bytes)
    return { url: (location, options) => url(location, { ...options, expiresSeconds: options.expiresSeconds * 1000 }) }
  },
  'url() forgets the disposition': (bytes) => {
    const url = bytes.url.bind(bytes)
    return { url: (location, options) => url(location, { ...options, disposition: 'inline' }) }
  },
  'url() is the URL of another generation': (bytes) => {
    const url = bytes.url.bind(bytes)
    return { url: async (location, options) => keyOf(location) && url({ ...location, generation: '' }, options) }
  },
  'close() rejects': () => ({ close: () => Promise.reject(new Error('no')) }),
}

function changedStaging(
  bytes: FullBytes,
  change: (staged: Pick<Staged, 'commit' | 'discard'>) => Pick<Staged, 'commit' | 'discard'>,
) {
  const stagedAs = bytes.stagedAs.bind(bytes)
  bytes.stagedAs = (...args) => change(stagedAs(...args))
  return {}
}

it('bytesContract() accepts a backend with every method', async () => {
  expect(await failureOf(() => ({}), true)).toBeUndefined()
})

it.each(Object.entries(wrong))('bytesContract() finds that %s', async (name, change) => {
  expect(await failureOf(change, name.startsWith('url()'))).toBeDefined()
})
