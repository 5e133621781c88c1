import { createHash } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { isErrno } from '../blobs/bytes/errors.ts'
import { syncDirectory } from '../blobs/bytes/files.ts'
import { StorageError } from '../errors.ts'
import { invalidInput } from '../validation/input.ts'

export const MANIFEST = 'manifest.json'

/** The version of the layout of files and lines. */
const FORMAT = 1

const count = z.int().check(z.gte(0))
const fileSchema = z.strictObject({
  file: z.string().check(z.regex(/^[A-Za-z]+\.jsonl$/)),
  rows: count,
  bytes: count,
  sha256: z.string(),
})

const manifestSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** How many migrations the database had. */
  schema: count,
  exportedAt: z.string(),
  selection: z.strictObject({
    ownerId: z.optional(z.string()),
    sessionId: z.optional(z.string()),
    since: z.optional(z.string()),
  }),
  tables: z.record(z.string(), fileSchema),
  blobs: z.strictObject({ contents: count, bytes: count }),
  /** The last number that the log of events has given. Not given for a part of the rows. */
  lastEventSeq: z.optional(count),
})

export type Manifest = z.output<typeof manifestSchema>
export type ArchiveFile = z.output<typeof fileSchema>

/** Makes a manifest of this version. */
export function manifestOf(parts: Omit<Manifest, 'format'>): Manifest {
  return { format: FORMAT, ...parts }
}

/** Writes the manifest. It is there as a whole, or not at all. */
export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  const unfinished = join(directory, `${MANIFEST}.part`)
  const file = await open(unfinished, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify({ ...manifest, sha256: checksumOf(manifest) }, null, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await syncDirectory(directory)
  await rename(unfinished, join(directory, MANIFEST))
  await syncDirectory(directory)
}

/**
 * Reads the manifest. Returns it with its checksum, which names the archive.
 *
 * @throws {INVALID_INPUT} when there is no manifest, or it is of another format
 * @throws {ARCHIVE_DAMAGED} when it is not what was written
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has written the archive
 */
export async function readManifest(
  directory: string,
  { migrations }: { migrations: number },
): Promise<{ manifest: Manifest; checksum: string }> {
  let text: string
  try {
    text = await readFile(join(directory, MANIFEST), 'utf8')
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error
    throw notReadable(directory, 'does not exist: the directory is no archive, or its export was not finished')
  }
  const content = contentOf(text)
  if (content === undefined) throw damaged(directory, MANIFEST, 'is not JSON: export again, or copy the file again')
  const { sha256: checksum, ...rest } = content
  if (typeof rest.format === 'number' && rest.format > FORMAT) {
    const message = `has the format ${rest.format}, and this version reads ${FORMAT}: install the version that wrote it`
    throw notReadable(directory, message)
  }
  const { data: manifest } = manifestSchema.safeParse(rest)
  if (manifest === undefined || checksum !== checksumOf(rest)) {
    throw damaged(directory, MANIFEST, 'does not match its own sha256: export again, or copy the file again')
  }
  if (manifest.schema > migrations) {
    const message = `The archive was written with ${manifest.schema} migrations, this version knows ${migrations}: install the version that wrote it, or a newer one`
    throw new StorageError('SCHEMA_TOO_NEW', message, { details: { applied: manifest.schema, known: migrations } })
  }
  return { manifest, checksum: String(checksum) }
}

/** Makes the error of a file of an archive that is not what was exported. */
export function damaged(directory: string, file: string, what: string): StorageError<'ARCHIVE_DAMAGED'> {
  return new StorageError('ARCHIVE_DAMAGED', `${join(directory, file)} ${what}`, { details: { file } })
}

function notReadable(directory: string, what: string): StorageError<'INVALID_INPUT'> {
  return invalidInput([{ path: 'directory', message: `${join(directory, MANIFEST)} ${what}` }])
}

function contentOf(text: string): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(text)
    return typeof content === 'object' && content !== null ? { ...content } : undefined
  } catch {
    return undefined
  }
}

/** Returns the SHA-256 of a manifest without its checksum. The order of properties is that of the file. */
function checksumOf(manifest: object): string {
  return createHash('sha256').update(JSON.stringify(manifest)).digest('hex')
}
