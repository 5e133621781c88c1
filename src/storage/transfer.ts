import * as z from 'zod/mini'
import { copyRows } from '../archive/copy.ts'
import { importFrom } from '../archive/import.ts'
import type { CopyOptions, CopyReport, ImportOptions, ImportReport } from '../archive/types.ts'
import { invalidInput, parseInput } from '../validation/input.ts'
import { directorySchema, flagSchema, runOf } from './archive-run.ts'
import { layersOf } from './layers.ts'
import { longRun } from './long-run.ts'
import type { Storage } from './types.ts'

// Apart from archive.ts, since the declarations of the main entry must not lead to the layers, and so to drizzle.

const importSchema = z.strictObject({ ...longRun, dryRun: z.optional(flagSchema) })
const copySchema = z.strictObject({ ...longRun, verify: z.optional(flagSchema) })

/**
 * Writes the rows of an archive, which `storage.export` has made, into a storage of any kind. Ids, seqs, times and owners stay.
 * Verifies the manifest and all files first. A row that the storage has already stays as it is: if it differs, the row of the
 * archive is refused, with what belongs to it. Writes in batches; others can work meanwhile. Safe to repeat: a call that was
 * interrupted goes on, and a complete one changes nothing.
 *
 * @throws {ARCHIVE_DAMAGED} when a file of the archive is missing or damaged; the error names it
 * @throws {INVALID_INPUT} when the directory is no archive, or an option is not valid
 * @throws {SCHEMA_TOO_NEW} when a newer version of the package has written the archive
 * @throws {ABORTED} when `signal` is aborted; what was written until then stays
 * @throws {INVALID_STATE} when the storage holds other data with the same keys, far more than a report can list
 * @throws {BLOB_QUOTA_EXCEEDED} when the blobs do not fit into the storage
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not set the sequence of the events
 * @throws {CLOSED} when the storage is closed, or is being closed
 * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of this storage
 * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
 * @throws {CONNECTION_LOST} when the database cannot be reached
 *
 * @example
 * ```ts
 * import { importInto, openStorage } from 'holdfast'
 * await storage.kv.set('theme', 'dark')
 * const { directory } = await storage.export(`./export-${Date.now()}`)
 * await using other = await openStorage()
 * console.log(await importInto(other, directory)) // { tables: { kv: { inserted: 1, ... } }, inserted: 1, ... }
 * ```
 */
export async function importInto(
  storage: Storage,
  directory: string,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const layers = layersOf(storage, 'storage')
  const path = parseInput(directorySchema, directory, 'directory')
  const { dryRun = false } = parseInput(importSchema, options, 'options')
  const run = runOf([layers], options, 'The import was aborted by its signal: import again, and it goes on')
  return importFrom(layers, path, { dryRun }, run)
}

/**
 * Copies all rows and blobs of a storage into another storage of any kind, as they are at the beginning of the call. Ids, seqs,
 * times and owners stay. A row that the other storage has already stays as it is: if it differs, the copy of the row is
 * refused, with what belongs to it. Writes in batches. Others can work meanwhile, but what they write into `from` is not
 * copied. Safe to repeat: a call that was interrupted goes on, and then compares both sides, since rows may have changed
 * between the two calls.
 *
 * @throws {INVALID_INPUT} when both storages are the same, or an option is not valid
 * @throws {ABORTED} when `signal` is aborted; what was written until then stays
 * @throws {INVALID_STATE} when `to` holds other data with the same keys, far more than a report can list
 * @throws {BLOB_NOT_FOUND} when the bytes of a blob are lost
 * @throws {BLOB_CORRUPTED} when the bytes of a blob are damaged
 * @throws {BLOB_QUOTA_EXCEEDED} when the blobs do not fit into `to`
 * @throws {PRIVILEGE_MISSING} when the PostgreSQL user may not set the sequence of the events
 * @throws {CLOSED} when one of the storages is closed, or is being closed
 * @throws {TRANSACTION_MISUSE} when the call is made inside a transaction of one of the storages
 * @throws {TIMEOUT} when no connection became free in time, or a lock was not free in time
 * @throws {CONNECTION_LOST} when a database cannot be reached
 *
 * @example
 * ```ts
 * import { copyStorage, openStorage } from 'holdfast'
 * await storage.kv.set('theme', 'dark')
 * await using other = await openStorage()
 * const { inserted, equal } = await copyStorage(storage, other, { verify: true })
 * console.log(inserted, equal) // 1 true
 * ```
 */
export async function copyStorage(from: Storage, to: Storage, options: CopyOptions = {}): Promise<CopyReport> {
  const [source, target] = [layersOf(from, 'from'), layersOf(to, 'to')]
  if (source === target) throw invalidInput([{ path: 'to', message: 'must be another storage than from' }])
  const { verify } = parseInput(copySchema, options, 'options')
  const run = runOf([source, target], options, 'The copy was aborted by its signal: copy again, and it goes on')
  return copyRows(source, target, { verify }, run)
}
