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
      const hash = hashIn(line)
      if (hash === undefined) continue // the import refuses the line
      const path = contentPath(directory, hash)
      const file = path.slice(directory.length + 1)
      if ((await hashOf(directory, path, file, count)) !== hash) {
        throw damaged(directory, file, `does not have the sha256 that its name says: ${AGAIN}`)
      }
    }
  }
}

/** Returns the hash of a line of contents, or undefined if the line has none. */
function hashIn(line: string): string | undefined {
  try {
    const { hash }: { hash?: unknown } = Object(JSON.parse(line))
    return typeof hash === 'string' && isHash(hash) ? hash : undefined
  } catch {
    return undefined
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
