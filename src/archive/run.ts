import type { BlobRows } from '../blobs/open.ts'
import type { RowCache } from '../cache/row-cache.ts'
import type { Database } from '../database/database.ts'

/** The layers of a storage that its archive needs. */
export interface ArchiveLayers {
  readonly database: Database
  readonly blobs: BlobRows
  readonly rowCache: RowCache
  readonly now: () => Date
}

/** One call that takes long. */
export interface ArchiveRun {
  /**
   * Checks that the call goes on.
   *
   * @throws {ABORTED} when its signal is aborted
   * @throws {CLOSED} when the storage is being closed
   */
  check(): void
  /** Reports that a number of rows of a table are done. */
  progress?: ((table: string, rows: number, total?: number) => void) | undefined
}
