import postgres, { type Sql } from 'postgres'
import { closeField, contenderOf, type Field, waysOf } from './contender.ts'
import { drizzlePostgres } from './drizzle-postgres.ts'
import { kyselyOnPostgres } from './kysely.ts'
import type { Lab } from './lab.ts'
import { rawPostgres } from './raw-postgres.ts'
import { countRoundTrips } from './round-trips.ts'
import { comparison, type Row } from './row.ts'
import { conversation, SEEDED, sampleMessage, seededMessages } from './sample.ts'

const field = (lab: Lab) => lab.once('PostgreSQL field', () => openField(lab), closeField)

/** PostgreSQL on this machine, against postgres.js. */
export const postgresRows: Row[] = [
  ...[1, 16, 64].flatMap((inFlight) =>
    (['message', 'page', 'append'] as const).map((work) =>
      comparison({
        name: `PostgreSQL, ${{ message: 'messages.get', page: 'page of 50', append: 'append' }[work]}, ${inFlight} in flight`,
        target: { atMost: work === 'append' ? 1.1 : inFlight === 1 ? 1.15 : 1.2 },
        peers: '',
        inFlight,
        open: async (lab) => waysOf(work, await field(lab)),
      }),
    ),
  ),
  { name: 'PostgreSQL, append, round trips', target: { atMost: 1 }, run: roundTripsOfAppend },
]

/** Opens the contenders, each with a database and a pool of the same size. */
async function openField(lab: Lab): Promise<Field> {
  const databases = []
  for (let i = 0; i < 4; i++) databases.push(await seededDatabase(lab))
  const [ours = '', ...others] = databases
  const storage = await lab.open({ database: { type: 'postgres', url: ours } })
  const clients = others.map((url) => postgres(url, { max: 10, onnotice: () => {} })) as [Sql, Sql, Sql] // three others
  const [raw, drizzle, third] = clients
  const kysely = await kyselyOnPostgres(third)
  const { perCall, prepared } = drizzlePostgres(drizzle)
  return {
    ours: contenderOf(storage),
    raw: rawPostgres(raw),
    others: { drizzle: perCall, prepared, ...(kysely && { kysely }) },
    close: async () => {
      await storage.close()
      for (const client of clients) await client.end()
    },
  }
}

async function seededDatabase(lab: Lab): Promise<string> {
  const url = await lab.postgresUrl()
  await using storage = await lab.open({ database: { type: 'postgres', url } })
  await storage.messages.append(SEEDED, seededMessages())
  return url
}

async function roundTripsOfAppend(lab: Lab) {
  const counted = await countRoundTrips(await lab.postgresUrl())
  const storage = await lab.open({ database: { type: 'postgres', url: counted.url } })
  try {
    const append = (i: number) => storage.messages.append(conversation(i), sampleMessage(i))
    await append(0) // prepares the statements
    const before = counted.roundTrips()
    const calls = 10
    for (let i = 1; i <= calls; i++) await append(i)
    return { value: (counted.roundTrips() - before) / calls, unit: '' }
  } finally {
    await storage.close()
    counted.close()
  }
}
