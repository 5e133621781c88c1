import type { Logger } from '../logger.ts'
import type { Observer } from '../observability/observed.ts'

/** Returns what logs a call that has taken `millis` or longer. Undefined if no call is to be logged. */
export function slowCalls(millis: number | undefined, logger: Logger): Observer['slow'] {
  if (millis === undefined) return undefined
  return {
    millis,
    report({ repository, method, tables, latencyMs, error }) {
      const call = `${repository}.${method}`
      logger.warn(`${call} has taken ${Math.round(latencyMs ?? 0)} ms`, {
        component: 'storage',
        code: 'SLOW_OPERATION',
        operation: call,
        tables,
        latencyMs: latencyMs ?? 0,
        ...(error && { error: error.code }),
      })
    },
  }
}
