import { createHash } from 'node:crypto'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeDirectory, sizeOfFile, syncDirectory, unlinkIfExists, writeAll } from '../blobs/bytes/files.ts'
import { codeOf, isError } from '../caught.ts'
import { StorageError } from '../errors.ts'
import { makeDirectories } from '../make-directories.ts'
import { systemErrorMeaning } from '../system-error.ts'
import { type ArchiveFile, MANIFEST } from './manifest.ts'

/** The folder of the contents of blobs. Each has its own file: `blobs/<2 hex>/<sha256>`. */
export const BLOBS = 'blobs'

/** How much text is collected before it is written. */
const BUFFER_CHARACTERS = 256 * 1024
const CHUNK_BYTES = 256 * 1024

/**
 * Creates the directory of an export. Returns its absolute path.
 *
 * @throws {ALREADY_EXISTS} when the directory has files in it, or is a file
 */
export async function createDirectory(directory: string): Promise<string> {
  const path = resolve(directory)
  const refused = (what: string, cause?: unknown) =>
    new StorageError('ALREADY_EXISTS', `${path} ${what}: name a directory that is new or empty`, {
      cause,
      details: { path },
    })
  try {
    await makeDirectories(path, 0o700)
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOTDIR') {
      throw refused('is a file', error)
    }
    throw fileError(error, path)
  }
  const found = await inFile(path, () => readdir(path))
  if (found.length === 0) return path
  const what = found.includes(MANIFEST)
    ? 'holds an export already'
    : found.some((name) => name.endsWith('.jsonl'))
      ? `holds an export that was not finished (it has no ${MANIFEST})`
      : 'is not empty'
  throw refused(what)
}

/** A file of an archive that is being written, line by line. */
export class LinesWriter {
  readonly #directory: string
  readonly #name: string
  readonly #file: FileHandle
  readonly #hash = createHash('sha256')
  #buffer = ''
  #rows = 0
  #bytes = 0

  private constructor(directory: string, name: string, file: FileHandle) {
    this.#directory = directory
    this.#name = name
    this.#file = file
  }

  static async create(directory: string, name: string): Promise<LinesWriter> {
    return new LinesWriter(directory, name, await inFile(join(directory, name), (path) => open(path, 'wx', 0o600)))
  }

  /** Adds a line. Waits for the disk if enough text has come together. */
  add(line: string): Promise<void> | undefined {
    this.#rows++
    this.#buffer += `${line}\n`
    return this.#buffer.length >= BUFFER_CHARACTERS ? this.#flush() : undefined
  }

  /** Writes the rest to the disk, and closes the file. */
  async finish(): Promise<ArchiveFile> {
    await this.#flush()
    await inFile(this.#path, () => this.#file.sync())
    await this.close()
    return { file: this.#name, rows: this.#rows, bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  get #path(): string {
    return join(this.#directory, this.#name)
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#buffer)
    this.#buffer = ''
    this.#bytes += bytes.length
    this.#hash.update(bytes)
    await inFile(this.#path, () => writeAll(this.#file, bytes))
  }
}

/** Writes the bytes of a content into its file, and makes them durable. */
export async function writeContent(directory: string, hash: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const path = contentPath(directory, hash)
  const file = await inFile(path, () => open(path, 'wx', 0o600))
  try {
    for await (const chunk of chunks) await inFile(path, () => writeAll(file, chunk))
    await inFile(path, () => file.sync())
  } catch (error) {
    await unlinkIfExists(path).catch(() => {}) // the error says why the export is not finished
    throw error
  } finally {
    await file.close()
  }
}

/** Creates the folder for a content, if it does not exist. */
export async function makeContentFolder(directory: string, hash: string): Promise<string> {
  const folder = join(directory, BLOBS, hash.slice(0, 2))
  await inFile(folder, makeDirectory) // not with its parents: if they are gone, what was written into them is gone, too
  return folder
}

export function contentPath(directory: string, hash: string): string {
  return join(directory, BLOBS, hash.slice(0, 2), hash)
}

/**
 * Checks that the files of an export are in its directory.
 *
 * @throws {DATABASE_FAILED} when one is not, since the directory was removed or replaced meanwhile, as by an unmount
 */
export async function checkWritten(directory: string, files: Iterable<ArchiveFile>): Promise<void> {
  for (const { file, bytes } of files) {
    const path = join(directory, file)
    const found = await sizeOfFile(path).catch(() => undefined)
    if (found === bytes) continue
    const message = `${path} is not there any more: its directory was removed or replaced meanwhile. Export again`
    throw new StorageError('DATABASE_FAILED', message, { details: { file: path } })
  }
}

/** Makes the entries of folders durable. */
export async function syncFolders(folders: Iterable<string>): Promise<void> {
  for (const folder of folders) await inFile(folder, syncDirectory)
}

/** Yields the bytes of a file. The consumer must not keep a chunk. */
export async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  const file = await inFile(path, () => open(path, 'r'))
  try {
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await inFile(path, () => file.read(buffer, 0, buffer.length))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

/** Yields the lines of a file in groups, as they are read. */
export async function* linesOf(path: string): AsyncGenerator<string[]> {
  let rest: Buffer[] = []
  for await (const chunk of chunksOf(path)) {
    const end = chunk.lastIndexOf(0x0a)
    if (end < 0) {
      rest.push(Buffer.from(chunk))
      continue
    }
    yield Buffer.concat([...rest, chunk.subarray(0, end)])
      .toString('utf8')
      .split('\n')
    rest = [Buffer.from(chunk.subarray(end + 1))]
  }
  const last = Buffer.concat(rest).toString('utf8')
  if (last !== '') yield [last]
}

/** Runs a step on a file. Its error is a StorageError that names the file. */
async function inFile<T>(path: string, step: (path: string) => Promise<T>): Promise<T> {
  try {
    return await step(path)
  } catch (error) {
    throw fileError(error, path)
  }
}

/** Returns the StorageError for an error of a file of an archive. Returns a StorageError as it is. */
export function fileError(error: unknown, path: string): unknown {
  const errno = codeOf(error)
  if (!isError(error) || error instanceof StorageError || errno === undefined) return error
  const [code, message] = systemErrorMeaning(errno, 'the archive') ?? ['DATABASE_FAILED', messageOf(errno)]
  return new StorageError(code, `${message} (${errno} at ${path})`, { cause: error, details: { errno, file: path } })
}

const messageOf = (errno: string) =>
  errno === 'ENOENT'
    ? 'The file does not exist, or its directory was removed or replaced'
    : 'The file could not be used'
