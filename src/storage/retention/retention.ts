import type { RowCache } from '../../cache/row-cache.ts'
import type { ResolvedRetention } from '../../config/resolved.ts'
import type { Database } from '../../database/database.ts'
import { sweepableBefore } from '../../database/expiry.ts'
import { StorageError } from '../../errors.ts'
import { LONGEST_REST_MILLIS, PacedLease } from '../../maintenance/lease.ts'
import { Pace } from '../../maintenance/pace.ts'
import type { MaintenanceStep } from '../../maintenance/scheduler.ts'
import { EARLIEST } from '../../validation/instants.ts'
import { checkSignal } from '../../validation/signal.ts'
import { parseRemoval } from '../long-run.ts'
import { agedApprovals, agedEvents, agedExecutions, agedMemories } from './aged-rows.ts'
import { idleSessions } from './idle-sessions.ts'
import { oldMessages } from './old-messages.ts'
import type { Removed, Rule } from './rule.ts'
import type { PruneOptions, Pruning } from './types.ts'

/** How long a round of maintenance works on it before the other steps have their turn. */
const ROUND_MILLIS = 30_000
/** How often a long run renews its lease. */
const RENEWAL_MILLIS = 60_000
interface RetentionLayers {
  database: Database
  rowCache: RowCache
  /** Returns the current time by the clock that all instances share. */
  confirmedNow: () => Promise<Date>
  now: () => Date
}

/** Removes rows that are older than the configuration keeps them: in the rounds of maintenance, and on request. */
export class Retention {
  readonly #layers: RetentionLayers
  readonly #config: ResolvedRetention | undefined
  readonly #rules: readonly (readonly [rule: Rule, age: number])[]
  readonly #lease: PacedLease
  /** A walk through all rules that a round of maintenance has begun and the next one goes on with. */
  #walk: AsyncGenerator<Removed> | undefined
  /** The round of this instance that is under way. */
  #running: Promise<void> | undefined
  #isPruning = false
  /** When the lease was taken or renewed last. */
  #renewedAt = 0
  #isStopping = false

  constructor(layers: RetentionLayers, config: ResolvedRetention | undefined) {
    this.#layers = layers
    this.#config = config
    this.#rules = rulesOf(config)
    this.#lease = new PacedLease(layers.database.ungated(), 'retention', layers.now)
  }

  /** The step of maintenance, if anything is configured. */
  get steps(): MaintenanceStep[] {
    if (this.#rules.length === 0) return []
    return [{ name: 'retention', run: () => this.#layers.database.whileOpen(() => this.#round()) }]
  }

  /** Lets a run that is under way end after its current transaction. Then gives up the lease that is kept for the next round. */
  stop(): void {
    this.#isStopping = true
    void this.#layers.database.whileOpen(() => this.#leaveToOthers()).catch(() => {}) // the lease ends by itself
  }

  async #leaveToOthers(): Promise<void> {
    await this.#running
    if (this.#walk !== undefined) await this.#lease.release()
  }

  /** Runs everything now. See `Storage.prune`. */
  async prune(options: PruneOptions): Promise<Pruning> {
    const { dryRun, signal, onProgress } = parseRemoval(options)
    const rows: Record<string, number> = {}
    const work = async () => {
      for await (const removed of this.#removals(dryRun)) {
        if (removed.rows > 0) rows[removed.table] = (rows[removed.table] ?? 0) + removed.rows
        if (removed.rows > 0 && !dryRun) onProgress?.(removed)
        this.#checkGoesOn(signal)
        if (!dryRun) await this.#renewLease()
      }
    }
    await this.#layers.database.whileOpen(() => {
      this.#checkGoesOn(signal)
      return dryRun || this.#rules.length === 0 ? work() : this.#alone(work)
    })
    return { rows, total: Object.values(rows).reduce((sum, each) => sum + each, 0) }
  }

  #checkGoesOn(signal: AbortSignal | undefined): void {
    if (this.#isStopping) throw new StorageError('CLOSED', 'The storage has been closed: prune again')
    checkSignal(signal, 'The call was aborted by its signal: prune again')
  }

  async #renewLease(): Promise<void> {
    if (performance.now() - this.#renewedAt < RENEWAL_MILLIS) return
    if (!(await this.#lease.take())) throw heldElsewhere()
    this.#renewedAt = performance.now()
  }

  /** Runs `work` after the round of this instance that is under way, which ends soon, and while no other instance runs. */
  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#isPruning) throw heldElsewhere()
    this.#isPruning = true
    try {
      await this.#running
      if (!(await this.#lease.take({ evenAtRest: true }))) throw heldElsewhere()
      this.#renewedAt = performance.now()
      this.#walk = undefined // `work` does it all
      await this.#underLease(work)
    } finally {
      this.#isPruning = false
    }
  }

  async #underLease(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      await this.#lease.rest(LONGEST_REST_MILLIS)
    } catch (error) {
      await this.#lease.release().catch(() => {}) // it ends by itself; the first error says why
      throw error
    }
  }

  /**
   * Works for half a minute at most. Keeps the lease if there is more to do, for the next round. Returns the number of rows
   * removed.
   */
  async #round(): Promise<number> {
    if (this.#isPruning) return 0
    const work = this.#work()
    this.#running = work.then(
      () => {},
      () => {},
    )
    return work
  }

  async #work(): Promise<number> {
    if (!(await this.#lease.take())) {
      this.#walk = undefined
      return 0
    }
    const begun = performance.now()
    let rows = 0
    try {
      this.#walk ??= this.#removals(false)
      while (!this.#isStopping && !this.#isPruning && performance.now() - begun < ROUND_MILLIS) {
        const { done, value } = await this.#walk.next()
        if (done) {
          this.#walk = undefined
          await this.#lease.rest(LONGEST_REST_MILLIS)
          return rows
        }
        rows += value.rows
      }
      return rows
    } catch (error) {
      this.#walk = undefined
      await this.#lease.release().catch(() => {}) // it ends by itself; the first error says why
      throw error
    }
  }

  /**
   * Applies every rule, and yields after each transaction. Sessions are after what they would take along, so that each rule
   * counts the same in a dry run. Only messages are after them: a session that goes takes them along at once.
   */
  async *#removals(dryRun: boolean): AsyncGenerator<Removed> {
    const { database, rowCache, confirmedNow } = this.#layers
    const now = sweepableBefore(await confirmedNow())
    const idle = this.#rules.find(([rule]) => rule === idleSessions)
    const idleBefore = idle && new Date(now.getTime() - idle[1])
    const { abandonedExecutions: longest } = this.#config ?? { abandonedExecutions: 'never' }
    const runningSince = longest === 'never' ? EARLIEST : new Date(now.getTime() - longest)
    const afterStep = dryRun ? undefined : async () => database.driver.moveLog?.()
    for (const [rule, age] of this.#rules) {
      const pace = new Pace(database.dialect, afterStep)
      const context = { db: database.ungated(), rowCache, pace, dryRun, idleBefore, runningSince }
      yield* rule(context, new Date(now.getTime() - age))
    }
  }
}

function rulesOf(config: ResolvedRetention | undefined) {
  if (config === undefined) return []
  const rules = [
    [agedEvents, config.events],
    [agedExecutions, config.toolExecutions],
    [agedApprovals, config.approvals],
    [agedMemories, config.memories],
    [idleSessions, config.sessions.idle],
    [oldMessages, config.messages],
  ] as const
  return rules.flatMap(([rule, age]) => (age === 'never' ? [] : [[rule, age] as const]))
}

function heldElsewhere(): StorageError {
  const message =
    'Another instance applies the retention at the moment, or has ended without a word while it did: prune again later; an instance that has ended keeps others from it for ten minutes at most'
  return new StorageError('INVALID_STATE', message, { retryable: true })
}
