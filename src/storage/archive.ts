import { resolve } from 'node:path'
import * as z from 'zod'
import { copyRows } from '../archive/copy.ts'
import { exportTo } from '../archive/export.ts'
import { importFrom } from '../archive/import.ts'
import type { ArchiveRun } from '../archive/run.ts'
import type {
  ArchiveProgress,
  BackupOptions,
  BackupReport,
  CopyOptions,
  CopyReport,
  ExportOptions,
  ExportReport,
  ExportSelection,
  ImportOptions,
  ImportReport,
} from '../archive/types.ts'
import { StorageError } from '../errors.ts'
import { rule } from '../validation/fast-path.ts'
import { checkFunction, idSchema, instantSchema, invalidInput, parseInput, signalSchema } from '../validation/input.ts'
import { layersOf, type StorageLayers } from './layers.ts'
import { checkSignal, type LongRunOptions } from './long-run.ts'
import type { Storage } from './types.ts'

const longRun = { signal: signalSchema.optional(), onProgress: z.unknown().optional() }
const flag = rule<boolean>((value) => typeof value === 'boolean', 'must be true or false').optional()
const exportSchema = z.strictObject({
  ...longRun,
  ownerId: idSchema.optional(),
  sessionId: idSchema.optional(),
  since: instantSchema.optional(),
})
const copySchema = z.strictObject({ ...longRun, verify: flag })
const fileSchema = rule<string>(
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
  'must be the path of a file',
)
const importSchema = z.strictObject({ ...longRun, dryRun: flag })

const pathSchema = rule<string>(
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
  'must be the path of a directory',
)

/** Writes rows into a directory. See `Storage.export`. */
export async function exportStorage(
  layers: StorageLayers,
  directory: string,
  options: ExportOptions,
): Promise<ExportReport> {
  const path = parseInput(pathSchema, directory, 'directory')
  const { ownerId, sessionId, since } = parseInput(exportSchema, options, 'options')
  const selection: ExportSelection = { ownerId, sessionId, since }
  const aborted = 'The export was aborted by its signal: what it has written has no manifest, and can be removed'
  return exportTo(layers, path, selection, runOf([layers], options, aborted))
}

/**
 * Writes the rows of an archive, which `storage.export` has made, into a storage of any kind. Ids, seqs, times and owners stay.
 * Verifies the manifest and all files first. A row that the storage has already stays as it is: if it differs, the row of the
 * archive is refused, with what belongs to it. Writes in batches; others can work meanwhile. Safe to repeat: a call that was
 * interrupted goes on, and a complete one changes nothing.
 *
 * @throws {INVALID_INPUT} when a file of the archive is missing or damaged, or an option is not valid
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
  const path = parseInput(pathSchema, directory, 'directory')
  const { dryRun = false } = parseInput(importSchema, options, 'options')
  const run = runOf([layers], options, 'The import was aborted by its signal: import again, and it goes on')
  return importFrom(layers, path, { dryRun }, run)
}

/**
 * Copies all rows and blobs of a storage into another storage of any kind, as they are at the beginning of the call. Ids, seqs,
 * times and owners stay. A row that the other storage has already stays as it is: if it differs, the copy of the row is refused, with what
 * belongs to it. Writes in batches. Others can work meanwhile, but what they write into `from` is not copied. Safe to repeat: a
 * call that was interrupted goes on, and then compares both sides, since rows may have changed between the two calls.
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

const PG_DUMP = 'pg_dump --format=custom --no-owner --file=agent.dump "$DATABASE_URL"'

/** Copies a SQLite database into a file. See `Storage.backup`. */
export async function backupStorage(
  layers: StorageLayers,
  file: string,
  options: BackupOptions,
  schema: string | undefined,
): Promise<BackupReport> {
  const path = resolve(parseInput(fileSchema, file, 'file'))
  parseInput(z.strictObject(longRun), options, 'options')
  const { check, progress } = runOf([layers], options, 'The backup was aborted by its signal: nothing is left of it')
  check()
  const { database } = layers
  return database.whileOpen(async () => {
    const { driver } = database
    if (driver.backup === undefined) {
      const command = schema === undefined ? PG_DUMP : PG_DUMP.replace(' --file', ` --schema=${schema} --file`)
      const message = `storage.backup copies SQLite. Back PostgreSQL up with: ${command}`
      throw new StorageError('INVALID_STATE', message)
    }
    const bytes = await driver.backup(path, {
      check,
      progress: progress && ((done, total) => progress('pages', done, total)),
    })
    return { file: path, bytes }
  })
}

/** Makes the run of a call. It ends if its signal is aborted, or if one of its storages is being closed. */
function runOf(
  storages: readonly StorageLayers[],
  { signal, onProgress }: LongRunOptions<ArchiveProgress>,
  aborted: string,
): ArchiveRun {
  if (onProgress !== undefined) checkFunction(onProgress, 'options.onProgress')
  return {
    check() {
      checkSignal(signal, aborted)
      if (storages.some(({ closing }) => closing.aborted)) {
        throw new StorageError('CLOSED', 'The storage is being closed, and the call is not finished')
      }
    },
    progress:
      onProgress && ((table, rows, total) => onProgress({ table, rows, ...(total !== undefined && { total }) })),
  }
}
