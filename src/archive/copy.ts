import { chunksOfContent, whyNotFound } from '../blobs/protocol/records.ts'
import type { BulkRow } from '../database/bulk/table.ts'
import { databaseIdentity } from '../database/identity.ts'
import { isStorageError } from '../errors.ts'
import { digestsOf } from './digest.ts'
import { type Batch, type Origin, receive } from './receive.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import { type ArchiveSource, withSource } from './source.ts'
import { ARCHIVED, type ArchivedTable } from './tables.ts'
import type { CopyReport, TableComparison } from './types.ts'

/** How many rows one transaction writes. */
const BATCH_ROWS = 2000
/** A batch ends after this much text and bytes as well. */
const BATCH_WEIGHT = 8 * 1024 * 1024

/** Copies all rows and blobs, as they are now, from one storage into another. See `copyStorage`. */
export async function copyRows(
  from: ArchiveLayers,
  to: ArchiveLayers,
  { verify }: { verify?: boolean | undefined },
  run: ArchiveRun,
): Promise<CopyReport> {
  run.check()
  const name = `copy:${await databaseIdentity(from.database)}`
  const report = await withSource(from, async (source) => {
    const lastEventSeq = await source.lastEventSeq()
    return receive(to, originOf(from, source, name, lastEventSeq), { dryRun: false }, run)
  })
  if (!(verify ?? report.resumed)) return report
  const comparison = await compare(from, to, run)
  return { ...report, comparison, equal: comparison.every(({ equal }) => equal) }
}

/** Compares the rows of two storages, table by table. */
async function compare(from: ArchiveLayers, to: ArchiveLayers, run: ArchiveRun): Promise<TableComparison[]> {
  const quiet = { check: () => run.check() } // the rows were reported when they were copied
  const [ofFrom, ofTo] = [await digestsOf(from, quiet), await digestsOf(to, quiet)]
  const isSkipped = (table: ArchivedTable) => table === 'blobRefs' && to.blobs.own !== undefined
  return ARCHIVED.flatMap((table) => {
    const [left, right] = [ofFrom.get(table), ofTo.get(table)]
    if (left === undefined || right === undefined || isSkipped(table)) return []
    return [{ table, from: left, to: right, equal: left.rows === right.rows && left.digest === right.digest }]
  })
}

function originOf(from: ArchiveLayers, source: ArchiveSource, name: string, lastEventSeq: number): Origin {
  const { db, store } = from.blobs
  return {
    name,
    isFromFile: false,
    lastEventSeq,
    total: (table) => source.count(table),
    async *batches(table, _, mark) {
      const after = mark === undefined || mark.after.length === 0 ? undefined : mark.after
      yield* batchesOf(source.rows(table, { after }), mark?.rows ?? 0)
    },
    bytes: (content) => chunksOfContent(db, store.bytes, content),
    isGone: async ({ hash }, error) =>
      isStorageError(error, 'BLOB_NOT_FOUND') && (await whyNotFound(db, store.bytes, hash)) !== 'lost',
  }
}

/** Puts pages together, and cuts them if they are large. */
async function* batchesOf(pages: AsyncIterable<BulkRow[]>, already: number): AsyncGenerator<Batch> {
  let batch: Batch = { incoming: [], done: already }
  let weight = 0
  for await (const page of pages) {
    for (const row of page) {
      batch.incoming.push({ row })
      batch.done++
      weight += weightOf(row)
      if (batch.incoming.length < BATCH_ROWS && weight < BATCH_WEIGHT) continue
      yield batch
      batch = { incoming: [], done: batch.done }
      weight = 0
    }
  }
  if (batch.incoming.length > 0) yield batch
}

function weightOf(row: BulkRow): number {
  let weight = 0
  for (const cell of row) if (typeof cell === 'string' || cell instanceof Uint8Array) weight += cell.length
  return weight
}
