/** Options of `storage.prune()`. */
export interface PruneOptions {
  /** Counts, and removes nothing. Default false. */
  dryRun?: boolean | undefined
  /** Ends the call between two transactions. Then it rejects with ABORTED. */
  signal?: AbortSignal | undefined
  /** Called after each transaction that has removed rows of a table, with their number. */
  onProgress?: ((removed: { table: string; rows: number }) => void) | undefined
}

/** What `storage.prune()` has removed, or would remove. */
export interface Pruning {
  /** Number of rows by table, without the tables that have none. What goes with its session is not counted. */
  rows: Record<string, number>
  /** The sum of `rows`. */
  total: number
}
