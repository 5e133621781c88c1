import type { BlobStats } from '../blobs/types.ts'
import type { CacheAsideStats } from '../cache/cache-aside.ts'
import type { CacheStoreStats } from '../cache/store.ts'
import type { DatabaseStats, LayerHealth } from './health.ts'

/** The index of the texts of messages and memories. */
export interface SearchStats {
  /** Number of messages and memories that are not indexed yet. */
  pending: number
}

/** The vectors of messages and memories. */
export interface EmbeddingStats {
  /** The model that embeds, with its dimensions, such as `text-embedding-3-small/1536`. Without a model the last one. */
  model: string
  /** Number of texts that each model has embedded. */
  models: Record<string, number>
  /** Number of messages and memories that `model` has not embedded yet. */
  pending: number
}

/** What `storage.erase()` has removed, or would remove. */
export interface Erasure {
  /** Number of rows by table, without the tables that have none. The blobs are `rows.blobs`. */
  rows: Record<string, number>
  /** The sum of `rows`. */
  total: number
  /**
   * False if the write-ahead log of SQLite may still hold erased text, since other processes were reading all the time:
   * erase again later. True otherwise.
   */
  logEmptied: boolean
}

export interface StorageHealth {
  /** True if every layer answers. */
  ok: boolean
  cache: LayerHealth
  database: LayerHealth
  blobStore: LayerHealth
}

export interface StorageStats {
  cache: CacheStoreStats & CacheAsideStats
  database: DatabaseStats
  blobs: BlobStats
  /** Given if the search is switched on. */
  search?: SearchStats
  /** Given if this storage, or an earlier one on the same database, has a model. */
  embeddings?: EmbeddingStats
}
