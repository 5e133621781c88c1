import type { ArchiveRun } from '../archive/run.ts'
import type { ArchiveProgress } from '../archive/types.ts'
import { StorageError } from '../errors.ts'
import { rule } from '../validation/fast-path.ts'
import { checkSignal } from '../validation/signal.ts'
import type { StorageLayers } from './layers.ts'
import { type LongRunOptions, progressOf } from './long-run.ts'

export const flagSchema = rule<boolean>((value) => typeof value === 'boolean', 'must be true or false')

export const directorySchema = pathOf('directory')
export const fileSchema = pathOf('file')

function pathOf(what: string) {
  return rule<string>(
    (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
    `must be the path of a ${what}`,
  )
}

/** Makes the run of a call. It ends if its signal is aborted, or if one of its storages is being closed. */
export function runOf(
  storages: readonly StorageLayers[],
  options: LongRunOptions<ArchiveProgress>,
  aborted: string,
): ArchiveRun {
  const { signal } = options
  const onProgress = progressOf(options)
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
