import { randomUUID } from 'node:crypto'
import type { Content } from '../blobs/bytes/backend.ts'
import { endImport, importContent } from '../blobs/protocol/import.ts'
import type { BulkTable } from '../database/bulk/table.ts'
import { allOf } from './all-of.ts'
import type { Outcomes } from './outcomes.ts'
import type { ArchiveLayers } from './run.ts'
import type { Incoming } from './target.ts'

/** How many contents are stored at once: most are small, and each waits for the disk. */
const CONTENTS_AT_ONCE = 8

/** Stores the contents of blobs before their records. */
export class ContentsTarget {
  readonly #layers: ArchiveLayers
  readonly #outcomes: Outcomes
  readonly #batch = `archive:${randomUUID()}`
  readonly #bytesOf: (content: Content) => AsyncIterable<Uint8Array>
  #stored = false

  constructor(layers: ArchiveLayers, outcomes: Outcomes, bytesOf: (content: Content) => AsyncIterable<Uint8Array>) {
    this.#layers = layers
    this.#outcomes = outcomes
    this.#bytesOf = bytesOf
  }

  /** Stores contents, or only looks if they are there. */
  async write(table: BulkTable, incoming: readonly Incoming[], { dryRun }: { dryRun: boolean }): Promise<void> {
    const { db, store } = this.#layers.blobs
    const place = (name: string) => table.columns.findIndex((column) => column.name === name)
    const [hash, size] = [place('hash'), place('size')]
    for (let start = 0; start < incoming.length; start += CONTENTS_AT_ONCE) {
      const isNew = await allOf(incoming.slice(start, start + CONTENTS_AT_ONCE), async ({ row }) => {
        const content = { hash: String(row[hash]), size: Number(row[size]) }
        if (dryRun) return (await store.bytes.size(content.hash)) !== content.size
        this.#stored = true
        return importContent(db, store, content, () => this.#bytesOf(content), this.#batch)
      })
      for (const each of isNew) this.#outcomes.count('blobContent', each ? 'inserted' : 'unchanged', 1)
    }
  }

  /** Lets the records keep the contents from now on. */
  async end(): Promise<void> {
    if (this.#stored) await endImport(this.#layers.blobs.db, this.#batch)
  }
}
