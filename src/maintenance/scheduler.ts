import type { Logger } from '../logger.ts'

/** One thing that has to be done now and then. Running it twice, or on several instances at once, is harmless. */
export interface MaintenanceStep {
  readonly name: string
  /** Resolves to how many things it removed. */
  run(): Promise<number>
}

export interface MaintenanceReport {
  step: string
  removed: number
  millis: number
  /** What went wrong; the other steps ran all the same. */
  error?: Error
}

const INTERVAL_MILLIS = 60_000

/** Runs the steps when asked, and once a minute while started. A round never overlaps another. */
export class Maintenance {
  readonly #steps: readonly MaintenanceStep[]
  readonly #logger: Logger
  #timer: NodeJS.Timeout | undefined
  #running: Promise<MaintenanceReport[]> | undefined
  #stopping = false

  constructor(steps: readonly MaintenanceStep[], logger: Logger) {
    this.#steps = steps
    this.#logger = logger
  }

  /** The timer keeps no process alive. */
  start(): void {
    this.#timer = setInterval(() => void this.run(), INTERVAL_MILLIS).unref()
  }

  /** A report per step, in their order. Never rejects. A call during a round waits for it and shares its reports. */
  run(): Promise<MaintenanceReport[]> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** No round begins any more; one under way is not logged if it fails, as it does where the storage is being closed. */
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
        report.removed = await run()
      } catch (error) {
        report.error = error instanceof Error ? error : new Error(String(error))
        const message = `The maintenance step ${name} failed; it is tried again in the next round`
        if (!this.#stopping) this.#logger.error(message, { error })
      }
      report.millis = performance.now() - begun
      reports.push(report)
    }
    return reports
  }
}
