import { findReferences } from '../blobs/reference.ts'
import type { BulkRow, BulkTable } from '../database/bulk/table.ts'
import type { ExportSelection } from './types.ts'

/** Decides which blobs a part of the rows needs. A selection by owner alone needs nothing of this. */
export class SelectedBlobs {
  readonly #selection: ExportSelection
  readonly #mentioned = new Set<string>()

  constructor(selection: ExportSelection) {
    this.#selection = selection
  }

  /** True if blobs depend on what the messages mention. */
  get #needsMentions(): boolean {
    return this.#selection.sessionId !== undefined || this.#selection.since !== undefined
  }

  /** Notes which blobs a message mentions. JSON escapes no character of `blob:<id>`. */
  note({ columns }: BulkTable, message: BulkRow): void {
    if (!this.#needsMentions) return
    for (const [i, { kind }] of columns.entries()) {
      if (kind === 'json') findReferences(message[i], this.#mentioned)
    }
  }

  /** Returns true if the blob is wanted. */
  has({ columns }: BulkTable, blob: BulkRow): boolean {
    if (!this.#needsMentions) return true
    const cell = (name: string) => blob[columns.findIndex((column) => column.name === name)]
    if (this.#mentioned.has(String(cell('id')))) return true
    const { sessionId, since } = this.#selection
    if (sessionId !== undefined || since === undefined) return false
    return Number(cell('createdAt')) >= since.getTime() || Number(cell('lastUsedAt')) >= since.getTime()
  }
}
