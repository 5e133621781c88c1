import { createHash } from 'node:crypto'
import { lineWriter } from './lines.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import { type ArchiveSource, withSource } from './source.ts'
import { ARCHIVED, type ArchivedTable } from './tables.ts'

export interface TableDigest {
  rows: number
  /** 64 hexadecimal digits. The same for the same rows, in whatever order and database. */
  digest: string
}

/** Returns the digest of each archived table, as the storage is now. */
export function digestsOf(layers: ArchiveLayers, run: ArchiveRun): Promise<Map<ArchivedTable, TableDigest>> {
  return withSource(layers, async (source) => {
    const digests = new Map<ArchivedTable, TableDigest>()
    for (const name of ARCHIVED) digests.set(name, await digestOf(source, name, run))
    return digests
  })
}

/** Adds up the SHA-256 of all rows. A sum has no order; an exclusive or would lose rows that are there twice. */
async function digestOf(source: ArchiveSource, name: ArchivedTable, run: ArchiveRun): Promise<TableDigest> {
  const write = lineWriter(source.table(name))
  const sum = new Uint32Array(8)
  let rows = 0
  for await (const page of source.rows(name)) {
    run.check()
    for (const row of page) {
      const hash = createHash('sha256').update(write(row)).digest()
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + hash.readUInt32BE(i * 4)
    }
    rows += page.length
    run.progress?.(name, rows)
  }
  return { rows, digest: Array.from(sum, (part) => part.toString(16).padStart(8, '0')).join('') }
}
