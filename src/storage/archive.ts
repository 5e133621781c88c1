import { resolve } from 'node:path'
import * as z from 'zod/mini'
import { exportTo } from '../archive/export.ts'
import type { BackupOptions, BackupReport, ExportOptions, ExportReport, ExportSelection } from '../archive/types.ts'
import { StorageError } from '../errors.ts'
import { instantOf, instantOrAgeSchema } from '../validation/age.ts'
import { idSchema, parseInput } from '../validation/input.ts'
import { directorySchema, fileSchema, runOf } from './archive-run.ts'
import type { StorageLayers } from './layers.ts'
import { longRun } from './long-run.ts'

const exportSchema = z.strictObject({
  ...longRun,
  ownerId: z.optional(idSchema),
  sessionId: z.optional(idSchema),
  since: z.optional(instantOrAgeSchema),
})
const backupSchema = z.strictObject(longRun)

/** Writes rows into a directory. See `Storage.export`. */
export async function exportStorage(
  layers: StorageLayers,
  directory: string,
  options: ExportOptions,
): Promise<ExportReport> {
  const path = parseInput(directorySchema, directory, 'directory')
  const { ownerId, sessionId, since } = parseInput(exportSchema, options, 'options')
  const selection: ExportSelection = {
    ownerId,
    sessionId,
    since: since === undefined ? since : instantOf(since, layers.now()),
  }
  const aborted = 'The export was aborted by its signal: what it has written has no manifest, and can be removed'
  return exportTo(layers, path, selection, runOf([layers], options, aborted))
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
  parseInput(backupSchema, options, 'options')
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
