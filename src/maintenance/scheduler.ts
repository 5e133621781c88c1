import { isError } from '../caught.ts'
import { type Logger, loggedError } from '../logger.ts'
import { inBackground } from '../observability/background.ts'
import { type MaintenanceMessage, maintenanceSteps, traced } from '../observability/channels.ts'

/** A periodic cleanup step. Running it twice, or on several instances at once, is harmless. */
export interface MaintenanceStep {
  readonly name: string
  /** Runs the step. Returns the number of rows or files removed. */
  run(): Promise<number>
}

export interface MaintenanceReport {
  /** Name of the step, such as 'expired-sessions'. */
  step: string
  /** Number of rows or files removed. */
  removed: number
  /** Milliseconds that the step took. */
  millis: number
  /** Why the step failed. The other steps ran all the same. */
  error?: Error
}

const INTERVAL_MILLIS = 60_000

/** Runs the maintenance steps on request, and once a minute after `start()`. Rounds never overlap. */
export class Maintenance {
  readonly #steps: readonly MaintenanceStep[]
  readonly #logger: Logger
  #timer: NodeJS.Timeout | undefined
  #running: Promise<MaintenanceReport[]> | undefined
  #stopping = false
  /** By step, how often it has failed in a row. */
  readonly #failures = new Map<string, number>()

  constructor(steps: readonly MaintenanceStep[], logger: Logger) {
    this.#steps = steps
    this.#logger = logger
  }

  /** Starts the timer, which does not keep the process alive. */
  start(): void {
    this.#timer = inBackground(() => setInterval(() => void this.run(), INTERVAL_MILLIS).unref())
  }

  /**
   * Runs every step, in order. Returns a report for each. Never rejects. A call during a round joins that round and
   * returns its reports.
   */
  run(): Promise<MaintenanceReport[]> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /**
   * Stops the timer and waits for the round in progress. Failures of that round are not logged: they are expected while
   * the storage closes. Safe to repeat.
   */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping = true
    await this.#running
    this.#stopping = false
  }

  async #round(): Promise<MaintenanceReport[]> {
    const reports: MaintenanceReport[] = []
    for (const { name, run } of this.#steps) {
      const begun = performance.now()
      const report: MaintenanceReport = { step: name, removed: 0, millis: 0 }
      try {
        report.removed = await tracedStep(name, run)
        this.#failures.delete(name)
        report.millis = performance.now() - begun
        if (report.removed > 0) this.#logRemoved(report)
      } catch (error) {
        report.error = isError(error) ? error : new Error(String(error))
        report.millis = performance.now() - begun
        if (!this.#stopping) this.#logFailure(report, error)
      }
      reports.push(report)
    }
    return reports
  }

  #logRemoved({ step, removed, millis }: MaintenanceReport): void {
    const details = { component: 'maintenance', code: 'MAINTENANCE_REMOVED', step, removed, latencyMs: millis } as const
    this.#logger.info(`The maintenance step ${step} removed ${removed}`, details)
  }

  #logFailure({ step, millis }: MaintenanceReport, error: unknown): void {
    const attempt = (this.#failures.get(step) ?? 0) + 1
    this.#failures.set(step, attempt)
    const err = loggedError(error)
    const details = {
      component: 'maintenance',
      code: 'MAINTENANCE_FAILED',
      step,
      latencyMs: millis,
      attempt,
      err,
    } as const
    this.#logger.error(`The maintenance step ${step} failed and will be tried again in the next round`, details)
  }
}

/** Runs a step, and publishes its message while somebody listens. */
function tracedStep(step: string, run: MaintenanceStep['run']): Promise<number> {
  if (!maintenanceSteps.hasSubscribers) return run()
  const message: MaintenanceMessage = { step }
  return traced(maintenanceSteps, message, run, (removed) => {
    message.removed = removed
  })
}
