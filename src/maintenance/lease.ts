import { randomUUID } from 'node:crypto'
import { and, eq, lte } from 'drizzle-orm'
import type { Db } from '../database/db.ts'
import { statement } from '../database/statement.ts'

/** After this long a holder counts as gone. What outlasts it is then done by two at once, which is harmless. */
const LEASE_MILLIS = 600_000

interface Lease {
  step: string
  holder: string
}

const take = statement(({ orm, tables: { maintenanceLeases: l } }, arg: Lease & { expiresAt: Date; now: Date }) =>
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

const giveBack = statement(({ orm, tables: { maintenanceLeases: l } }, arg: Lease) =>
  orm.delete(l).where(and(eq(l.step, arg.step), eq(l.holder, arg.holder))),
)

/** Does the work unless another instance is doing it; undefined then. */
export async function onOneInstance<T>(
  db: Db,
  step: string,
  now: Date,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const lease = { step, holder: randomUUID() }
  const taken = await take.first(db, { ...lease, now, expiresAt: new Date(now.getTime() + LEASE_MILLIS) })
  if (taken === undefined) return undefined
  try {
    return await work()
  } finally {
    await giveBack.all(db, lease)
  }
}
