import { createInterface } from 'node:readline'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { say } from '../../setup/say.ts'
import { silent } from '../../setup/silent.ts'

/** An order of the test: open this database at this time. */
export interface Order {
  /** `stock`: with drizzle's own migrate(). */
  way: 'sqlite' | 'postgres' | 'stock'
  /** The path of the file, or the URL. */
  location: string
  /** Milliseconds since the epoch. */
  at: number
}

export interface Outcome {
  ready?: true
  opened?: true
  failed?: string
}

async function open({ way, location }: Order): Promise<void> {
  if (way === 'stock') {
    const sql = postgres(location, { max: 1, onnotice: () => {} })
    await migrate(drizzle(sql), { migrationsFolder: 'migrations/postgres' }).finally(() => sql.end())
    return
  }
  const database = way === 'sqlite' ? { type: way, path: location } : { type: way, url: location }
  await using storage = await openStorage({ database }, { logger: silent })
  await storage.messages.append('session', { id: `${process.pid}`, role: 'user', content: 'here' })
}

// Opens one storage in advance, so that every module is loaded before the first order.
await (await openStorage(undefined, { logger: silent })).close()
say<Outcome>({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line)
  while (Date.now() < order.at); // a timer would wake the processes at different times
  await open(order).then(
    () => say<Outcome>({ opened: true }),
    (error) => say<Outcome>({ failed: String(error) }),
  )
}
