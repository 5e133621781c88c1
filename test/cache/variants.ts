import { randomUUID } from 'node:crypto'
import { CacheAside } from '../../src/cache/cache-aside.ts'
import type { CacheStore } from '../../src/cache/store.ts'
import type { RowReader, Versioned } from './staleness.ts'

/** Uses the protocol of Holdfast: reads claim leases, and writes invalidate. */
export function leased(cache: CacheStore, ttlMillis = 60_000): RowReader {
  const aside = new CacheAside(cache, { ttlMillis })
  return {
    read: async (table, id, load) => aside.read(table, id, load),
    written: (table, { id }) => aside.invalidate(table, [id]),
  }
}

/** Uses naive cache-aside, as most programs do: a read that misses loads and sets, and a write deletes. */
export function plain(cache: CacheStore): RowReader {
  return {
    async read(_table, id, load) {
      const entry = await cache.lookup(id)
      if (entry !== null) return JSON.parse(entry)
      const row = await load()
      if (row !== undefined) await cache.put(id, JSON.stringify(row), 60_000)
      return row
    },
    written: async (_table, { id }) => void (await cache.remove([id])),
  }
}

/** Uses naive cache-aside whose write sets the new row instead of deleting the old row. */
export function setAfterCommit(cache: CacheStore): RowReader {
  return {
    ...plain(cache),
    written: async (_table, row) => cache.put(row.id, JSON.stringify(row), 60_000),
  }
}

/** Uses leases, but a reader joins a load in flight in its process, unless its own process has written since. */
export function joinedFlight(cache: CacheStore): RowReader {
  const flights = new Map<string, Promise<Versioned | undefined>>()
  const fly = async (id: string, load: () => Promise<Versioned | undefined>) => {
    const lease = `L${randomUUID()}`
    const claimed = await cache.claim(id, lease, 10_000)
    if (claimed.startsWith('V')) return JSON.parse(claimed.slice(1))
    const row = await load()
    if (claimed === lease && row) await cache.fill(id, lease, `V${JSON.stringify(row)}`, 60_000)
    return row
  }
  return {
    async read(_table, id, load) {
      const entry = await cache.lookup(id)
      if (entry?.startsWith('V')) return JSON.parse(entry.slice(1))
      const joined = flights.get(id)
      if (joined) return joined
      const flight = fly(id, load)
      flights.set(id, flight)
      return flight.finally(() => {
        if (flights.get(id) === flight) flights.delete(id)
      })
    },
    async written(_table, { id }) {
      flights.delete(id)
      await cache.remove([id])
    },
  }
}
