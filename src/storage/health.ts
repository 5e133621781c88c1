import { count } from 'drizzle-orm'
import type { BlobLayer } from '../blobs/open.ts'
import type { CacheStore } from '../cache/store.ts'
import { messageOf } from '../caught.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Database } from '../database/database.ts'

export interface LayerHealth {
  /** True if the layer answered. */
  ok: boolean
  /** The configured type: 'in-memory', 'sqlite', 'postgres', 'redis', 'local' or 's3'. */
  type: string
  /** Milliseconds until the layer answered or failed. */
  latencyMs: number
  /** Why the layer is not ok. */
  error?: string
}

export interface DatabaseStats {
  /** Number of rows per table, by the table's name. */
  rows: Record<string, number>
  /** Bytes of the database, indexes included. */
  bytes: number
  /** The name and the version of the server, or of the library, such as `PostgreSQL 17.2`. */
  server: string
}

/** How long a layer may take to answer before it counts as not healthy. */
const ANSWER_MILLIS = 5000

/** Calls `ask` once, for 5 seconds at most. Returns whether it succeeded, and how long it took. Never rejects. */
async function probe(type: string, ask: () => Promise<unknown>): Promise<LayerHealth> {
  const begun = performance.now()
  const layer = (ok: boolean) => ({ ok, type, latencyMs: performance.now() - begun })
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ANSWER_MILLIS} ms`)), ANSWER_MILLIS)
  })
  try {
    await Promise.race([ask(), silence])
    return layer(true)
  } catch (error) {
    return { ...layer(false), error: messageOf(error) }
  } finally {
    clearTimeout(timer)
  }
}

/** @internal */
interface Layers {
  config: ResolvedConfig
  cacheStore: CacheStore
  database: Database
  blobs: BlobLayer
}

/**
 * Asks the database, and looks for its file. Never rejects.
 *
 * @internal
 */
export function databaseHealth({ config, database }: Pick<Layers, 'config' | 'database'>): Promise<LayerHealth> {
  return probe(config.database.type, async () => {
    await database.driver.checkFile?.()
    return database.run({ sql: 'select 1', params: [], writes: false })
  })
}

/**
 * Asks one layer after the other. Never rejects.
 *
 * @internal
 */
export async function healthOf(layers: Layers) {
  const { cacheStore, blobs } = layers
  const answers = {
    cache: await probe(cacheStore.type, () => cacheStore.ping()),
    database: await databaseHealth(layers),
    blobStore: await probe(blobs.bytes.type, () => blobs.bytes.ping()),
  }
  return { ok: Object.values(answers).every(({ ok }) => ok), ...answers }
}

/**
 * Counts the rows of every table, and returns the size of the database with them.
 *
 * @internal
 */
export async function databaseStats(database: Database): Promise<DatabaseStats> {
  const rows: Record<string, number> = {}
  for (const [name, table] of Object.entries(database.tables)) {
    const [counted] = await database.orm.select({ rows: count() }).from(table)
    rows[name] = counted?.rows ?? 0
  }
  return { rows, bytes: await database.driver.size(), server: await database.driver.server() }
}
