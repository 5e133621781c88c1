import { randomUUID } from 'node:crypto'
import { and, eq, lte } from 'drizzle-orm'
import type { Db } from '../database/db.ts'
import { statement } from '../database/statement.ts'

/**
 * How long a maintenance lease lasts. A holder that is gone blocks its step no longer than this. If a step takes
 * longer, two instances run it at once, which is harmless.
 */
const LEASE_MILLIS = 600_000

interface MaintenanceLease {
  step: string
  holder: string
}

const takeLease = statement(
  ({ orm, tables: { maintenanceLeases: l } }, arg: MaintenanceLease & { expiresAt: Date; now: Date }) =>
    orm
      .insert(l)
      .values({ step: arg.step, holder: arg.holder, expiresAt: arg.expiresAt })
      .onConflictDoUpdate({
        target: l.step,
        set: { holder: arg.holder, expiresAt: arg.expiresAt },
        setWhere: lte(l.expiresAt, arg.now),
      })
      .returning({ holder: l.holder }),
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
  const taken = await takeLease.first(db, { ...lease, now, expiresAt: new Date(now.getTime() + LEASE_MILLIS) })
  if (taken === undefined) return undefined
  try {
    return await work()
  } finally {
    await releaseLease.all(db, lease)
  }
}
