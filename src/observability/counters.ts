import { processWide } from '../process-wide.ts'
import type { DatabaseSource } from './channels.ts'

/** What this process has counted of one database since it was started, over all storages that it has opened on it. */
export interface DatabaseCounters extends DatabaseSource {
  /** Reads of the row cache by its answer: see `CacheResult`. */
  readonly cache: { hit: number; miss: number; bypass: number }
  /** Milliseconds that calls have waited for the writer of SQLite, added up. */
  writeQueueWaitMs: number
  /** The number of calls that wait for a connection of the pool to PostgreSQL now. */
  poolPending: number
  /** Bytes of blobs that were read from the blob store, and written to it. */
  readonly blobBytes: { read: number; written: number }
}

/** By database. They outlive the storages, so that no counter ever falls. */
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
 * Returns what this process has counted, for each database that it has opened. `holdfast/otel` makes metrics of it.
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
