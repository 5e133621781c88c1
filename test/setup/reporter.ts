import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node'

/** Ends the output of a run with one plain line of counts, for people and programs that read nothing else. */
export default class Totals implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[], reason: TestRunEndReason): void {
    console.log(totals(modules, errors, reason))
  }
}

/** Returns the line of counts. A file or a run that failed outside of its tests counts as one more failure. */
export function totals(
  modules: readonly TestModule[],
  errors: readonly SerializedError[],
  reason: TestRunEndReason,
): string {
  const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 }
  for (const module of modules) {
    const results = [...module.children.allTests()].map((test) => test.result().state)
    for (const state of results) count[state] += 1
    // The file failed while it was loaded, or in a hook.
    if (module.state() === 'failed' && !results.includes('failed')) count.failed += 1
  }
  const skipped = count.skipped + count.pending
  const parts = [`${count.passed} passed`, `${count.failed} failed`, ...(skipped > 0 ? [`${skipped} not run`] : [])]
  return `${parts.join(', ')}${reason === 'interrupted' ? ' (interrupted)' : ''}`
}
