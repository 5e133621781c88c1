import type { Db } from '../../database/db.ts'
import type { BlobStore } from './store.ts'
import { CHECKS, type Check, type VerifyStep } from './verify-steps.ts'

export interface VerifyOptions {
  /** Default false: nothing is changed. */
  repair?: boolean | undefined
  /** Called after each thing that was looked at. */
  onProgress?: ((progress: { step: VerifyStep; checked: number; found: number }) => void) | undefined
}

/** What one step found. */
export interface VerifyReport {
  step: VerifyStep
  /** How many things it looked at. */
  checked: number
  found: number
  /** How many of them it set right; none unless asked to. */
  repaired: number
  /** The first hundred of what was found: hashes, or the names of counters. */
  items: string[]
}

export interface BlobVerification {
  /** Whether nothing was found. */
  ok: boolean
  steps: VerifyReport[]
}

const ITEMS = 100

/** Runs every check; what one of them repairs the next ones see. @internal */
export async function verifyBlobs(db: Db, store: BlobStore, options: VerifyOptions): Promise<BlobVerification> {
  const steps: VerifyReport[] = []
  for (const [step, check] of Object.entries(CHECKS) as [VerifyStep, Check][]) {
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
      if (report.items.length < ITEMS) report.items.push(finding)
    }
    options.onProgress?.({ step, checked: report.checked, found: report.found })
  }
  return report
}
