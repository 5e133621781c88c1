import type { Content } from '../blobs/bytes/backend.ts'
import { passNumber } from '../database/bulk/numbering.ts'
import { type BulkTable, bulkTable, keyOf } from '../database/bulk/table.ts'
import { beginIndex } from '../repositories/search/state.ts'
import { ahead } from './ahead.ts'
import { ContentsTarget } from './contents-target.ts'
import { Outcomes } from './outcomes.ts'
import { type Mark, ProgressMark } from './progress-mark.ts'
import { recount } from './recount.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import { ARCHIVED, type ArchivedTable } from './tables.ts'
import { type Incoming, Target } from './target.ts'
import type { ImportReport } from './types.ts'

/** A batch of rows of one table. */
export interface Batch {
  incoming: Incoming[]
  /** Number of rows of the table up to the end of the batch, those that cannot be read included. */
  done: number
  /** Lines that cannot be read. */
  problems?: { line: number; reason: string }[]
}

/** Where rows come from: an archive, or another storage. */
export interface Origin {
  /** Names the rows. A call with the same name goes on with one that was interrupted. */
  readonly name: string
  readonly isFromFile: boolean
  readonly lastEventSeq: number
  /** Returns the number of rows of a table, if it is known. */
  total(name: ArchivedTable): Promise<number | undefined>
  /** Yields the rows of a table that are not done, in batches. `table` is that of the receiver. */
  batches(name: ArchivedTable, table: BulkTable, done: Pick<Mark, 'rows' | 'after'> | undefined): AsyncGenerator<Batch>
  bytes(content: Content): AsyncIterable<Uint8Array>
  /** Returns true if `bytes` failed because the content was removed since the rows were read. */
  isGone?(content: Content, error: unknown): Promise<boolean>
}

/** Writes all rows of an origin into a storage, or goes on with it. With `dryRun`, only compares. */
export async function receive(
  layers: ArchiveLayers,
  origin: Origin,
  { dryRun }: { dryRun: boolean },
  run: ArchiveRun,
): Promise<ImportReport> {
  const { database } = layers
  const { isFromFile } = origin
  const outcomes = new Outcomes({ isFromFile })
  const progressMark = new ProgressMark(origin.name)
  const left = dryRun ? undefined : await progressMark.take(database)
  const mark = resumable(left)
  if (mark) outcomes.continueFrom(mark.outcomes)
  const target = new Target(layers, outcomes, dryRun ? undefined : progressMark)
  const contents = new ContentsTarget(layers, outcomes, origin)
  const first = mark === undefined ? 0 : ARCHIVED.indexOf(mark.table)
  for (const [i, name] of ARCHIVED.entries()) {
    if (i < first) continue
    // Such a storage has no references: the records of its blobs are apart from its messages.
    if (name === 'blobRefs' && layers.blobs.own !== undefined) continue
    const done = i === first ? mark : undefined
    await receiveTable({ origin, outcomes, run, dryRun, target, contents }, name, done)
  }
  if (!dryRun) {
    const isRepeated = left !== undefined
    await contents.end(isRepeated)
    await finish(layers, origin, outcomes, { progressMark, isRepeated })
  }
  return { ...reportOf(outcomes), resumed: mark !== undefined }
}

interface Receiving {
  origin: Origin
  outcomes: Outcomes
  run: ArchiveRun
  dryRun: boolean
  target: Target
  contents: ContentsTarget
}

async function receiveTable(
  { origin, outcomes, run, dryRun, target, contents }: Receiving,
  name: ArchivedTable,
  mark: Mark | undefined,
): Promise<void> {
  const table = target.table(name)
  const total = run.progress && (await origin.total(name))
  for await (const { incoming, done, problems = [] } of ahead(origin.batches(name, table, mark))) {
    run.check()
    const last = incoming.at(-1)
    // No key has values of other types.
    const after = last === undefined ? [] : (keyOf(table, last.row) as Mark['after'])
    for (const { line, reason } of problems) outcomes.refuseLine(name, line, reason)
    if (name === 'blobContent') await contents.write(table, incoming, { dryRun })
    else if (incoming.length > 0) await target.write(name, incoming, { rows: done, after })
    run.progress?.(name, done, total)
  }
}

function reportOf({ tables, refusals }: Outcomes): Omit<ImportReport, 'resumed'> {
  const sums = { inserted: 0, unchanged: 0, refused: 0 }
  for (const { inserted, unchanged, refused } of Object.values(tables)) {
    sums.inserted += inserted
    sums.unchanged += unchanged
    sums.refused += refused
  }
  return { tables, ...sums, refusals }
}

/**
 * Returns the mark to go on from. What was refused is not kept, and rows that belong to it must be refused as well: then the call
 * begins anew, and finds the rows that are there. So does one whose mark an erasure has reset.
 */
function resumable(mark: Mark | undefined): Mark | undefined {
  if (mark === undefined || mark.rows === 0) return undefined
  if (Object.values(mark.outcomes).some(({ refused }) => refused > 0)) return undefined
  if (mark.table !== 'blobs') return mark
  // The reservations of the contents may have expired.
  const { blobContent: _, blobs: __, ...outcomes } = mark.outcomes
  return { table: 'blobContent', rows: 0, after: [], outcomes }
}

/** Does what can only be done when all rows are there, and removes the mark. */
async function finish(
  { database }: ArchiveLayers,
  { lastEventSeq }: Origin,
  outcomes: Outcomes,
  { progressMark, isRepeated }: { progressMark: ProgressMark; isRepeated: boolean },
): Promise<void> {
  const { tables } = outcomes
  await recount(database, outcomes)
  if (lastEventSeq > 0) {
    await database.transaction((tx) => passNumber(tx, bulkTable(tx.kit, 'events'), lastEventSeq))
  }
  // A call that was interrupted may have written texts which the backfill had passed, and a call that begins anew does not
  // count them.
  const isSearched = isRepeated || (tables.messages?.inserted ?? 0) + (tables.memories?.inserted ?? 0) > 0
  if (database.search && isSearched) await beginIndex(database)
  await progressMark.remove(database)
}
