import { join, resolve } from 'node:path'
import type { BulkTable } from '../database/bulk/table.ts'
import { MIGRATIONS } from '../database/migrations.generated.ts'
import { chunksOf, contentPath, fileError, linesOf } from './directory.ts'
import { LineProblem, lineReader } from './lines.ts'
import { MANIFEST, type Manifest, readManifest } from './manifest.ts'
import { type Batch, type Origin, receive } from './receive.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import type { ImportReport } from './types.ts'
import { verifyFiles } from './verify-files.ts'

/** How many rows one transaction writes. */
const BATCH_ROWS = 2000
/** A batch ends after this much text as well. */
const BATCH_CHARACTERS = 4 * 1024 * 1024

/** Verifies an archive, then writes its rows into a storage. See `importInto`. */
export async function importFrom(
  layers: ArchiveLayers,
  directory: string,
  options: { dryRun: boolean },
  run: ArchiveRun,
): Promise<ImportReport> {
  run.check()
  const path = resolve(directory)
  const known = { migrations: MIGRATIONS[layers.database.dialect].length }
  const { manifest, checksum } = await readManifest(path, known).catch((error) => {
    throw fileError(error, join(path, MANIFEST))
  })
  await verifyFiles(path, manifest, run)
  return receive(layers, originOf(path, manifest, checksum), options, run)
}

function originOf(directory: string, manifest: Manifest, checksum: string): Origin {
  return {
    name: checksum,
    isFromFile: true,
    lastEventSeq: manifest.lastEventSeq ?? 0,
    total: async (name) => manifest.tables[name]?.rows,
    async *batches(name, table, done) {
      const entry = manifest.tables[name]
      if (entry === undefined || entry.rows === 0) return
      yield* batchesOf(join(directory, entry.file), table, done?.rows ?? 0)
    },
    bytes: ({ hash }) => copied(chunksOf(contentPath(directory, hash))),
  }
}

/** Yields the rows of a file after the first `skipped` lines. */
async function* batchesOf(path: string, table: BulkTable, skipped: number): AsyncGenerator<Batch> {
  const read = lineReader(table)
  let batch: Batch = { incoming: [], done: 0, problems: [] }
  let characters = 0
  let number = 0
  for await (const lines of linesOf(path)) {
    for (const line of lines) {
      number++
      if (number <= skipped) continue
      try {
        batch.incoming.push({ row: read(line), line: number })
      } catch (error) {
        if (!(error instanceof LineProblem)) throw error
        batch.problems?.push({ line: number, reason: error.message })
      }
      batch.done = number
      characters += line.length
      if (batch.incoming.length < BATCH_ROWS && characters < BATCH_CHARACTERS) continue
      yield batch
      batch = { incoming: [], done: number, problems: [] }
      characters = 0
    }
  }
  if (batch.incoming.length > 0 || batch.problems?.length) yield batch
}

/** Yields copies of chunks whose buffer is used again. */
async function* copied(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield Uint8Array.from(chunk)
}
