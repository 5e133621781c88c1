import type { Call, Command } from '../command.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { OWNER } from '../options.ts'
import { countsText, inLine, manyText } from '../text.ts'

const DRY_RUN = { name: 'dry-run', summary: 'Counts, and removes nothing.' }

export const erase: Command = {
  name: 'erase',
  summary: 'Removes everything that an owner has: rows, blobs and cached values.',
  details:
    'On SQLite what is removed is overwritten in the file. Backups are out of reach. Exits with 4 if Redis does not answer: it keeps cached values of the owner until a repeat, and cached rows until their TTL ends. Safe to repeat.',
  needsBlobs: true,
  options: [{ ...OWNER, summary: 'Whose data to remove. Required.' }, DRY_RUN],
  async run(call) {
    const { given, output, signal, open, confirm } = call
    const ownerId = given.text('owner')
    if (ownerId === undefined) throw new UsageError('--owner is missing: whose data is to be removed?')
    const dryRun = given.flag('dry-run')
    const storage = await open()
    if (!dryRun) {
      const { total } = await storage.erase({ ownerId }, { dryRun: true })
      if (total > 0) await confirm(`Remove all ${manyText(total, 'row')} of ${inLine(ownerId)} for ever?`)
    }
    const erasure = await counting(call, (onProgress) => storage.erase({ ownerId }, { dryRun, signal, onProgress }))
    // With Redis away the storage remembers what to remove there, and forgets it when the command ends.
    const cacheCleared = dryRun || (await storage.health()).cache.ok
    await output.print(removedText(erasure, dryRun), { ownerId, dryRun, ...erasure, cacheCleared })
    if (!erasure.logEmptied)
      output.note('The log of SQLite still holds erased text, since another process was reading: repeat later.')
    if (!cacheCleared) {
      output.note('Redis does not answer, so that it keeps cached values of the owner: erase again when it does.')
      return EXIT.unreachable
    }
    return erasure.logEmptied ? EXIT.ok : EXIT.findings
  },
}

export const prune: Command = {
  name: 'prune',
  summary: 'Removes what is older than the retention of the configuration says.',
  details: 'Maintenance does the same once an hour. Without retention nothing is removed. Safe to repeat.',
  options: [DRY_RUN],
  async run(call) {
    const { given, output, signal, open, confirm } = call
    const dryRun = given.flag('dry-run')
    const storage = await open()
    const isKept = storage.config.retention === undefined
    if (isKept) output.note('The configuration has no retention: everything is kept.')
    else if (!dryRun) await confirm('Remove what is older than the retention says?')
    const pruning = await counting(call, (onProgress) => storage.prune({ dryRun, signal, onProgress }))
    await output.print(removedText(pruning, dryRun), { dryRun, ...pruning })
    return EXIT.ok
  },
}

type OnProgress = (removed: { table: string; rows: number }) => void

/** Runs a removal that says how many rows it has removed. */
async function counting<T>({ output }: Call, remove: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const progress = output.progress('rows')
  let removed = 0
  try {
    return await remove(({ table, rows }) => {
      removed += rows
      progress.update(removed, undefined, table)
    })
  } finally {
    progress.end()
  }
}

function removedText({ rows, total }: { rows: Record<string, number>; total: number }, dryRun: boolean): string {
  const verb = dryRun ? 'would be removed' : 'removed'
  return total === 0 ? `nothing ${verb}` : `${manyText(total, 'row')} ${verb}: ${countsText(rows)}`
}
