import { randomUUID } from 'node:crypto'
import { and, eq, gt, inArray, lte, or } from 'drizzle-orm'
import type { Db } from '../database/db.ts'
import { statement } from '../database/statement.ts'

/**
 * How long a maintenance lease lasts. A holder that is gone blocks its step no longer than this. If a step takes
 * longer, two instances run it at once, which is harmless.
 */
const LEASE_MILLIS = 600_000
/** How long a step rests at most. A lease that ends later was taken while a clock was ahead, and counts as over. */
export const LONGEST_REST_MILLIS = 3_600_000

interface MaintenanceLease {
  step: string
  holder: string
}

/** Takes a lease that has expired, that its holder has already, or whose holder is `or`. */
const takeLease = statement(
  (
    { orm, tables: { maintenanceLeases: l } },
    arg: MaintenanceLease & { or: string; expiresAt: Date; now: Date; latest: Date },
  ) =>
    orm
      .insert(l)
      .values({ step: arg.step, holder: arg.holder, expiresAt: arg.expiresAt })
      .onConflictDoUpdate({
        target: l.step,
        set: { holder: arg.holder, expiresAt: arg.expiresAt },
        setWhere: or(lte(l.expiresAt, arg.now), gt(l.expiresAt, arg.latest), inArray(l.holder, [arg.holder, arg.or])),
      })
      .returning({ holder: l.holder }),
)

const restLease = statement(
  ({ orm, tables: { maintenanceLeases: l } }, arg: MaintenanceLease & { nobody: string; until: Date }) =>
    orm
      .update(l)
      .set({ holder: arg.nobody, expiresAt: arg.until })
      .where(and(eq(l.step, arg.step), eq(l.holder, arg.holder))),
)

const releaseLease = statement(({ orm, tables: { maintenanceLeases: l } }, arg: MaintenanceLease) =>
  orm.delete(l).where(and(eq(l.step, arg.step), eq(l.holder, arg.holder))),
)

/**
 * Runs `work` under the maintenance lease of a step. Returns undefined, without running, if another instance holds the
 * lease.
 */
export async function onOneInstance<T>(
  db: Db,
  step: string,
  now: Date,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const lease = { step, holder: randomUUID() }
  const expiresAt = new Date(now.getTime() + LEASE_MILLIS)
  const taken = await takeLease.first(db, { ...lease, or: lease.holder, expiresAt, ...timesOf(now) })
  if (taken === undefined) return undefined
  try {
    return await work()
  } finally {
    await releaseLease.all(db, lease).catch(() => {}) // it ends by itself; an error of the work says why
  }
}

/** Returns `now`, and the latest time at which a lease may end. Clocks may differ by as long as the longest rest. */
const timesOf = (now: Date) => ({ now, latest: new Date(now.getTime() + 2 * LONGEST_REST_MILLIS) })

/** The holder of a lease that nobody holds: the step is done, and rests until the lease expires. */
const NOBODY = 'nobody'

/** The lease of a step that may take longer than a lease lasts, and that runs on one instance, once in a while. */
export class PacedLease {
  readonly #lease: MaintenanceLease
  readonly #db: Db
  readonly #now: () => Date
  readonly #millis: number

  /** @param millis How long the lease lasts. A holder that is gone blocks the step no longer than this. */
  constructor(db: Db, step: string, now: () => Date, millis = LEASE_MILLIS) {
    this.#db = db
    this.#millis = millis
    this.#lease = { step, holder: randomUUID() }
    this.#now = now
  }

  /**
   * Takes or renews the lease. Returns false if another instance holds it, or if the step rests; with `evenAtRest` a rest
   * does not count.
   */
  async take({ evenAtRest = false } = {}): Promise<boolean> {
    const now = this.#now()
    const expiresAt = new Date(now.getTime() + this.#millis)
    const or = evenAtRest ? NOBODY : this.#lease.holder
    return (await takeLease.first(this.#db, { ...this.#lease, or, expiresAt, ...timesOf(now) })) !== undefined
  }

  /** Gives the lease up. No instance takes it for `millis`, unless it ignores the rest. */
  async rest(millis: number): Promise<void> {
    const until = new Date(this.#now().getTime() + millis)
    await restLease.all(this.#db, { ...this.#lease, nobody: NOBODY, until })
  }

  /** Gives the lease up. Safe to repeat. */
  async release(): Promise<void> {
    await releaseLease.all(this.#db, this.#lease)
  }
}

/** Returns true while a step rests in this process. A rest that ends too far away was begun while the clock was ahead. */
export function isResting(now: number, until: number): boolean {
  return now < until && until <= now + LONGEST_REST_MILLIS
}
