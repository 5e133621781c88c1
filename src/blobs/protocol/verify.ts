import type { Db } from '../../database/db.ts'
import type { BlobVerification, VerifyOptions, VerifyReport, VerifyStep } from '../types.ts'
import type { BlobStore } from './store.ts'
import { CHECKS, type Check } from './verify-steps.ts'

const MAX_ITEMS = 100
const ENTRIES = Object.entries(CHECKS) as [VerifyStep, Check][] // the entries of a constant

/** Runs every check in turn: a check sees the repairs of the checks before it. Safe to repeat. */
export async function verifyBlobs(db: Db, store: BlobStore, options: VerifyOptions): Promise<BlobVerification> {
  const steps: VerifyReport[] = []
  for (const [step, check] of ENTRIES) {
    await store.onStep?.(`verify.${step}`)
    steps.push(await run(step, check(db, store, options.repair ?? false), options))
  }
  return { ok: steps.every(({ found }) => found === 0), steps }
}

async function run(step: VerifyStep, findings: ReturnType<Check>, options: VerifyOptions): Promise<VerifyReport> {
  const report: VerifyReport = { step, checked: 0, found: 0, repaired: 0, items: [] }
  for await (const finding of findings) {
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
