import { randomUUID } from 'node:crypto'
import { type Content, hasObject, isHash } from '../blobs/bytes/backend.ts'
import { endImport, importContent } from '../blobs/protocol/import.ts'
import { locationOf } from '../blobs/protocol/records.ts'
import type { BulkTable } from '../database/bulk/table.ts'
import { allOf } from './all-of.ts'
import type { Outcomes } from './outcomes.ts'
import type { ArchiveLayers } from './run.ts'
import type { Incoming } from './target.ts'

/** How many contents are stored at once: most are small, and each waits for the disk. */
const CONTENTS_AT_ONCE = 8

/** Where the bytes of contents come from. */
interface Contents {
  readonly name: string
  bytes(content: Content): AsyncIterable<Uint8Array>
  isGone?(content: Content, error: unknown): Promise<boolean>
}

/** Stores the contents of blobs before their records. */
export class ContentsTarget {
  readonly #layers: ArchiveLayers
  readonly #outcomes: Outcomes
  /** Begins the reservations of all calls that receive from this origin, and of this one. */
  readonly #batches: string
  readonly #batch: string
  readonly #origin: Contents
  #reserved = false

  constructor(layers: ArchiveLayers, outcomes: Outcomes, origin: Contents) {
    this.#layers = layers
    this.#batches = `archive:${origin.name}`
    this.#batch = `${this.#batches}:${randomUUID()}`
    this.#outcomes = outcomes
    this.#origin = origin
  }

  /** Stores contents, or only looks if they are there. */
  async write(table: BulkTable, incoming: readonly Incoming[], { dryRun }: { dryRun: boolean }): Promise<void> {
    const place = (name: string) => table.columns.findIndex((column) => column.name === name)
    const [hash, size] = [place('hash'), place('size')]
    // The hash is a part of the path of a file.
    const isNamed = ({ row }: Incoming) => isHash(String(row[hash]))
    for (const each of incoming) {
      if (!isNamed(each))
        this.#outcomes.refuse('blobContent', table, each, '"hash" must be 64 lower-case hexadecimal digits')
    }
    const named = incoming.filter(isNamed)
    for (let start = 0; start < named.length; start += CONTENTS_AT_ONCE) {
      const some = named.slice(start, start + CONTENTS_AT_ONCE)
      const ends = await allOf(some, ({ row }) =>
        this.#store({ hash: String(row[hash]), size: Number(row[size]) }, dryRun),
      )
      for (const [i, each] of some.entries()) {
        const end = ends[i]
        if (end === undefined) this.#outcomes.refuse('blobContent', table, each, 'its bytes were removed meanwhile')
        else this.#outcomes.count('blobContent', end, 1)
      }
    }
  }

  /** Stores a content. Returns undefined if it was removed from its origin. */
  async #store(content: Content, dryRun: boolean): Promise<'inserted' | 'unchanged' | undefined> {
    const { db, store } = this.#layers.blobs
    if (dryRun) {
      const location = await locationOf(db, content.hash)
      return location && (await hasObject(store.bytes, location)) ? 'unchanged' : 'inserted'
    }
    this.#reserved = true
    try {
      const isNew = await importContent(db, store, content, () => this.#origin.bytes(content), this.#batch)
      return isNew ? 'inserted' : 'unchanged'
    } catch (error) {
      if (!(await this.#origin.isGone?.(content, error))) throw error
      return undefined
    }
  }

  /**
   * Lets the records keep the contents from now on. Contents without a record go. With `isRepeated`, records also keep what calls
   * that were interrupted have reserved: otherwise an erasure would leave bytes behind until the next day.
   */
  async end(isRepeated: boolean): Promise<void> {
    const { db, store, own } = this.#layers.blobs
    if (this.#reserved || (isRepeated && !own?.unused)) await endImport(db, store, this.#batch, this.#batches)
  }
}
