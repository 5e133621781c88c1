import { processWide } from '../process-wide.ts'
import type { DatabaseSource } from './channels.ts'

/** The counters of one database. They add up all storages that this process has opened on the database since it was started. */
export interface DatabaseCounters extends DatabaseSource {
  /** Number of reads through the row cache, by the answer of the cache: see `CacheResult`. */
  readonly cache: { hit: number; miss: number; bypass: number }
  /** Milliseconds that calls have waited for the writer of SQLite, added up. */
  writeQueueWaitMs: number
  /** The number of calls that wait now for a connection to PostgreSQL from the pool. */
  poolPending: number
  /** Bytes of blobs that were read from the blob store and written to it. */
  readonly blobBytes: { read: number; written: number }
}

/** The counters by database. They outlive the storages, so that no total falls when a storage is closed. */
const known = processWide('counters', () => new Map<string, DatabaseCounters>())

/** Returns the counters of a database, for the layers that count. */
export function countersOf({ database, namespace }: DatabaseSource): DatabaseCounters {
  const key = `${database} ${namespace}`
  const counters = known.get(key) ?? {
    database,
    namespace,
    cache: { hit: 0, miss: 0, bypass: 0 },
    writeQueueWaitMs: 0,
    poolPending: 0,
    blobBytes: { read: 0, written: 0 },
  }
  known.set(key, counters)
  return counters
}

/**
 * Returns a copy of the counters of each database that this process has opened. `holdfast/otel` makes metrics of them.
 *
 * @example
 * ```ts
 * import { databaseCounters } from 'holdfast'
 * await storage.kv.get('theme')
 * console.log(databaseCounters().map(({ cache }) => cache)) // [{ hit: 0, miss: 1, bypass: 0 }]
 * ```
 */
export function databaseCounters(): readonly DatabaseCounters[] {
  return structuredClone([...known.values()])
}
