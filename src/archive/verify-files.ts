import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { isHash } from '../blobs/bytes/backend.ts'
import { isStorageError } from '../errors.ts'
import { chunksOf, contentPath, linesOf } from './directory.ts'
import { damaged, type Manifest } from './manifest.ts'
import type { ArchiveRun } from './run.ts'
import { ARCHIVED } from './tables.ts'

const AGAIN = 'export again, or copy the file again'

/**
 * Checks that all files of an archive are what was exported.
 *
 * @throws {ARCHIVE_DAMAGED} when a file is missing or damaged; names the file
 */
export async function verifyFiles(directory: string, manifest: Manifest, run: ArchiveRun): Promise<void> {
  const total = Object.values(manifest.tables).reduce((sum, { bytes }) => sum + bytes, 0) + manifest.blobs.bytes
  let done = 0
  const count = (bytes: number) => {
    run.check()
    done += bytes
    run.progress?.('verify', done, total)
  }
  for (const [name, { file, sha256 }] of Object.entries(manifest.tables)) {
    if (!ARCHIVED.some((known) => known === name)) throw damaged(directory, file, 'is of a table that does not exist')
    if ((await hashOf(directory, join(directory, file), file, count)) !== sha256) {
      throw damaged(directory, file, `does not have the sha256 that the manifest says: ${AGAIN}`)
    }
  }
  if (manifest.tables.blobContent === undefined) return
  for await (const lines of linesOf(join(directory, manifest.tables.blobContent.file))) {
    for (const line of lines) {
      const { hash, size } = contentIn(line)
      if (hash === undefined) continue // the import refuses the line
      const path = contentPath(directory, hash)
      const file = path.slice(directory.length + 1)
      let bytes = 0
      const found = await hashOf(directory, path, file, (length) => {
        bytes += length
        count(length)
      })
      if (found !== hash) throw damaged(directory, file, `does not have the sha256 that its name says: ${AGAIN}`)
      if (typeof size === 'number' && size !== bytes) {
        const listed = manifest.tables.blobContent.file
        throw damaged(directory, file, `has ${bytes} bytes, and ${listed} says ${size}: ${AGAIN}`)
      }
    }
  }
}

/** Returns what a line of contents says. It has no hash if the line is none of a content. */
function contentIn(line: string): { hash?: string; size?: unknown } {
  try {
    const { hash, size }: { hash?: unknown; size?: unknown } = Object(JSON.parse(line))
    return typeof hash === 'string' && isHash(hash) ? { hash, size } : {}
  } catch {
    return {}
  }
}

async function hashOf(directory: string, path: string, file: string, count: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of chunksOf(path)) {
      hash.update(chunk)
      count(chunk.length)
    }
  } catch (error) {
    if (!isStorageError(error, 'DATABASE_FAILED') || error.details.errno !== 'ENOENT') throw error
    throw damaged(directory, file, `does not exist: ${AGAIN}`)
  }
  return hash.digest('hex')
}
