import { createInterface } from 'node:readline'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import { openStorage } from 'holdfast'
import postgres from 'postgres'
import { silent } from '../../setup/silent.ts'

/** What it is told: open this database at this moment (milliseconds of the epoch), in which way. */
export interface Order {
  way: 'sqlite' | 'postgres' | 'stock'
  location: string
  at: number
}

export interface Outcome {
  ready?: true
  opened?: true
  failed?: string
}

const say = (outcome: Outcome) => console.log(JSON.stringify(outcome))
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

// A first time, so that every module is loaded when it counts.
await (await openStorage(undefined, { logger: silent })).close()
say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line)
  while (Date.now() < order.at); // a timer would spread them
  await open(order).then(
    () => say({ opened: true }),
    (error) => say({ failed: String(error) }),
  )
}
