import { createHash } from 'node:crypto'
import type { Content } from '../blobs/bytes/backend.ts'
import { chunksOfContent, whyNotFound } from '../blobs/protocol/records.ts'
import { isStorageError, StorageError } from '../errors.ts'
import { allOf } from './all-of.ts'
import { type LinesWriter, makeContentFolder, writeContent } from './directory.ts'
import { lineWriter } from './lines.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import type { ArchiveSource } from './source.ts'

/** How many contents are written at once: most are small, and each waits for the disk. */
const CONTENTS_AT_ONCE = 8
/** How often a content is read that others remove and store again. */
const ATTEMPTS = 10

interface Contents {
  /** Receives a line for each content. */
  file: LinesWriter
  /** The contents that are wanted. Undefined if all are. */
  hashes: ReadonlySet<string> | undefined
}

/**
 * Writes the wanted contents, each into a file. Returns how many contents and bytes that were, the hashes of the contents that
 * were removed since the source was opened (`gone`), and the folders with files.
 *
 * @throws {BLOB_NOT_FOUND} when the bytes of a content are lost
 * @throws {BLOB_CORRUPTED} when the bytes of a content are damaged
 */
export async function exportContents(
  layers: ArchiveLayers,
  source: ArchiveSource,
  directory: string,
  { file, hashes }: Contents,
  run: ArchiveRun,
) {
  const folders = new Set<string>()
  const gone = new Set<string>()
  let bytes = 0
  let contents = 0
  const table = source.table('blobContent')
  const place = (name: string) => table.columns.findIndex((column) => column.name === name)
  const [hashPlace, sizePlace] = [place('hash'), place('size')]
  const write = lineWriter(table)
  const total = run.progress && (hashes?.size ?? (await source.count('blobContent')))
  for await (const page of source.rows('blobContent')) {
    const wanted = page.filter((row) => hashes?.has(String(row[hashPlace])) ?? true)
    for (let start = 0; start < wanted.length; start += CONTENTS_AT_ONCE) {
      run.check()
      const some = wanted.slice(start, start + CONTENTS_AT_ONCE)
      for (const row of some) folders.add(await makeContentFolder(directory, String(row[hashPlace])))
      const sizes = await allOf(some, async (row) => {
        const content = { hash: String(row[hashPlace]), size: Number(row[sizePlace]) }
        return (await exportContent(layers, directory, content)) ? content.size : undefined
      })
      for (const [i, row] of some.entries()) {
        const size = sizes[i]
        if (size === undefined) gone.add(String(row[hashPlace]))
        else {
          bytes += size
          contents++
          await file.add(write(row))
        }
      }
      run.progress?.('blobContent', contents, total)
    }
  }
  return { contents, bytes, gone, folders }
}

/** Writes the bytes of a content. Returns false if the content was removed meanwhile, with the blobs that had it. */
async function exportContent({ blobs }: ArchiveLayers, directory: string, content: Content): Promise<boolean> {
  const { db, store } = blobs
  for (let attempt = 1; ; attempt++) {
    try {
      await writeContent(directory, content.hash, checked(content, chunksOfContent(db, store.bytes, content)))
      return true
    } catch (error) {
      if (!isStorageError(error, 'BLOB_NOT_FOUND')) throw error
      const why = await whyNotFound(db, store.bytes, content.hash)
      if (why === 'removed') return false
      if (why === 'lost' || attempt === ATTEMPTS) throw error
    }
  }
}

async function* checked({ hash }: Content, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const running = createHash('sha256')
  for await (const chunk of chunks) {
    running.update(chunk)
    yield chunk
  }
  if (running.digest('hex') === hash) return
  const message = `The bytes of a blob are damaged (${hash}): see blobs.verify, which can remove what cannot be repaired`
  throw new StorageError('BLOB_CORRUPTED', message, { details: { hash } })
}
