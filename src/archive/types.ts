/** How far a call is with a table. */
export interface ArchiveProgress {
  /**
   * The table, such as `messages`. `blobContent` counts contents of blobs. `verify` counts bytes of files, `pages` pages of a
   * database.
   */
  table: string
  /** Number of rows done. */
  rows: number
  /** Number of rows that the table has, if it is known. */
  total?: number
}

interface LongRun {
  /** Ends the call between two batches. Then the call rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each batch of rows. */
  onProgress?: ((progress: ArchiveProgress) => void) | undefined
}

/** Which rows an export has. All that are given must hold. Default: all rows. */
export interface ExportSelection {
  /** Only what this owner has: rows with this owner, and the blobs of this owner. */
  ownerId?: string | undefined
  /** Only this session: the session, what belongs to it, and the blobs that its messages mention. */
  sessionId?: string | undefined
  /**
   * Only what was created or changed since then. A session that was active or changed since then is exported as a whole, a
   * thread of checkpoints too. Lists and queues, which have no time, are exported as a whole.
   */
  since?: Date | undefined
}

/** Options of `storage.export()`. */
export interface ExportOptions extends Omit<ExportSelection, 'since'>, LongRun {
  /** As in `ExportSelection`, or an age such as `7d`, `12h` or `45m`, which counts back from the time of the database. */
  since?: Date | string | undefined
}

/** What `storage.export()` has written. */
export interface ExportReport {
  /** The absolute path of the directory. */
  directory: string
  /** Number of rows by table, without the tables that have none. */
  tables: Record<string, number>
  /** The sum of `tables`. */
  rows: number
  /** Number and size of the contents of blobs. Several blobs may share a content. */
  blobs: { contents: number; bytes: number }
}

/** Options of `importInto()`. */
export interface ImportOptions extends LongRun {
  /** Verifies the archive, compares the rows with those that are there, and writes nothing. Default false. */
  dryRun?: boolean | undefined
}

/** A row that was not written. */
export interface RefusedRow {
  table: string
  /** The file of the archive. Not given by `copyStorage`. */
  file?: string
  /** The number of the line in the file, from 1. Not given by `copyStorage`. */
  line?: number
  /** The primary key of the row. Empty if the line cannot be read. */
  key: readonly (string | number)[]
  /** Why the row was not written. */
  reason: string
}

/** What became of the rows of a table. */
export interface TableOutcome {
  /** Number of rows that were written. A call that resumes another one counts the rows of both. */
  inserted: number
  /** Number of rows that were there already, with the same content. */
  unchanged: number
  /** Number of rows that were not written. */
  refused: number
}

/** What `importInto()` has done, or would do. */
export interface ImportReport {
  /** By table, without the tables that have no rows. */
  tables: Record<string, TableOutcome>
  /** The sums of `tables`. */
  inserted: number
  unchanged: number
  refused: number
  /** The first thousand of the rows that were refused. */
  refusals: RefusedRow[]
  /** True if the call went on with one that was interrupted. */
  resumed: boolean
}

/** Options of `copyStorage()`. */
export interface CopyOptions extends LongRun {
  /**
   * Whether to compare both sides afterwards, table by table, which reads everything again. Default: true if the call went on
   * with one that was interrupted, else false.
   */
  verify?: boolean | undefined
}

/** A table that two storages were compared by. */
export interface TableComparison {
  table: string
  from: { rows: number; digest: string }
  to: { rows: number; digest: string }
  /** True if both sides have the same rows. */
  equal: boolean
}

/** What `copyStorage()` has done. */
export interface CopyReport extends ImportReport {
  /** One for each table, if the sides were compared. */
  comparison?: TableComparison[]
  /** True if the sides were compared and have the same rows. Not given if they were not compared. */
  equal?: boolean
}

/** Options of `storage.backup()`. */
export interface BackupOptions extends LongRun {}

/** What `storage.backup()` has written. */
export interface BackupReport {
  /** The absolute path of the file. */
  file: string
  /** Its size in bytes. */
  bytes: number
}
