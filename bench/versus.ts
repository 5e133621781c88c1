import { setTimeout as sleep } from 'node:timers/promises'
import type { StorageConfig } from 'holdfast'
import type { Effort, Way } from './harness.ts'
import type { Lab } from './lab.ts'
import { isInstalled } from './load-peer.ts'
import { comparison, type Row } from './row.ts'

/** Our adapter and the framework's own store, each with a database of its own. */
export interface Pair<Store> {
  ours: Store
  theirs: Store
  close(): Promise<void>
}

/** A pool of pg ends before its connections do. A server that stops meanwhile makes them fail, and pg ends the process. */
const PARTING_MILLIS = 200

/** One call that a pair is compared by. */
export interface Versus<Store> {
  name: string
  effort?: Partial<Effort>
  way(store: Store): Way | Promise<Way>
}

/** Whom our adapter is compared with. */
export interface Opponent<Store> {
  group: string
  against: string
  /** The package of bench/package.json. If it is not installed there are no rows. Default: `against`. */
  package?: string
  atMost: number
  /** By call, why the framework's own store may be faster. */
  reasons: Record<string, string>
  open(lab: Lab): Promise<Pair<Store>>
}

/** Returns rows that compare our adapter with the framework's own store, call by call, on one pair. */
export function versusRows<Store>(
  { group, against, package: needed = against, atMost, reasons, open }: Opponent<Store>,
  calls: readonly Versus<Store>[],
): Row[] {
  if (!isInstalled(needed)) return []
  return calls.map(({ name, way, ...rest }) =>
    comparison({
      name: `${group}, ${name}`,
      target: { atMost },
      peers: reasons[name] ?? '',
      against,
      ...rest,
      open: async (lab) => {
        const { ours, theirs } = await lab.once(
          group,
          () => open(lab),
          async ({ close }) => {
            await close()
            await sleep(PARTING_MILLIS)
          },
        )
        return { ours: await way(ours), baseline: await way(theirs), close: async () => {} }
      },
    }),
  )
}

/** Returns a way whose call is done once for each sample, since every call needs `renew` before. */
export async function renewed(renew: () => Promise<void>, call: () => unknown): Promise<Way> {
  await renew()
  return { call, tidy: renew }
}

/** The effort for such a way. */
export const ONE_CALL: Partial<Effort> = { sampleMillis: 0, warmupMillis: 100 }

/** Returns the configuration of an empty database. */
export async function databaseOf(lab: Lab, dialect: 'SQLite' | 'PostgreSQL') {
  const database: StorageConfig['database'] =
    dialect === 'SQLite' ? { type: 'sqlite', path: lab.file() } : { type: 'postgres', url: await lab.postgresUrl() }
  return { database }
}
