import type { Db } from '../../database/db.ts'
import { StorageError } from '../../errors.ts'
import { checkSignal } from '../../validation/signal.ts'
import { Removals } from '../bytes/removals.ts'
import type { BlobVerification, VerifyOptions, VerifyReport, VerifyStep } from '../types.ts'
import type { BlobStore } from './store.ts'
import { CHECKS, type Check } from './verify-steps.ts'

const MAX_ITEMS = 100
const ENTRIES = Object.entries(CHECKS) as [VerifyStep, Check][] // the entries of a constant

/** As many contents may always be missing or damaged; of more, only a tenth. */
const FEW_CONTENTS = 10

/**
 * Runs every check in turn: a check sees the repairs of the checks before it. If something cannot be repaired, repairs
 * the rest and then fails. Safe to repeat.
 *
 * @throws {INVALID_STATE} when a repair would remove the records of more than a tenth of the contents
 */
export async function verifyBlobs(db: Db, store: BlobStore, options: VerifyOptions): Promise<BlobVerification> {
  const steps: VerifyReport[] = []
  if (options.repair && !options.force) await refuseMassLoss(db, store, options)
  const repair = options.repair ? new Removals() : undefined
  for (const [step, check] of ENTRIES) {
    await store.onStep?.(`verify.${step}`)
    steps.push(await run(step, check(db, store, repair), options))
  }
  repair?.end()
  return { ok: steps.every(({ found }) => found === 0), steps }
}

/**
 * Rejects a repair that looks like a mistake: a store that is not mounted, or a broken disk, looks as if everything were
 * lost. Reads every byte before anything is changed.
 */
async function refuseMassLoss(db: Db, store: BlobStore, { signal }: VerifyOptions): Promise<void> {
  const damaged = await run('damaged', CHECKS.damaged(db, store, undefined), { signal })
  const missing = await run('missing', CHECKS.missing(db, store, undefined), { signal })
  const lost = damaged.found + missing.found
  if (lost <= Math.max(FEW_CONTENTS, missing.checked / 10)) return
  const message = `Of ${missing.checked} contents, ${missing.found} are missing and ${damaged.found} are damaged: check that the store is mounted and its disk is sound. To remove their records, pass force: true`
  throw new StorageError('INVALID_STATE', message)
}

async function run(step: VerifyStep, findings: ReturnType<Check>, options: VerifyOptions): Promise<VerifyReport> {
  const report: VerifyReport = { step, checked: 0, found: 0, repaired: 0, items: [] }
  for await (const finding of findings) {
    checkSignal(options.signal, 'The comparison was aborted by its signal; what was repaired stays')
    report.checked += 1
    if (finding !== undefined) {
      report.found += 1
      if (options.repair) report.repaired += 1
      if (report.items.length < MAX_ITEMS) report.items.push(finding)
    }
    options.onProgress?.({ step, checked: report.checked, found: report.found })
  }
  return report
}
