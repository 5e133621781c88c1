import { join } from 'node:path'
import { openStorage, type Storage } from 'holdfast'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'

const databases = {
  'in memory': () => ({ type: 'in-memory' }) as const,
  SQLite: () => ({ type: 'sqlite', path: join(freshDirectory(), 'agent.db') }) as const,
}
const reads: Record<string, (storage: Storage) => Promise<unknown>> = {
  'one statement': ({ messages }) => messages.latest('s', 1),
  'several statements': ({ messages }) => messages.around('s', 'm'),
}
const cases = Object.entries(databases).flatMap(([name, configure]) =>
  Object.entries(reads).map(([kind, read]) => [name, kind, configure, read] as const),
)

it.each(cases)('%s, a loop that awaits reads of %s alone lets timers fire', async (_, __, configure, read) => {
  await using storage = await openStorage({ database: configure() }, quiet)
  await storage.messages.append('s', { id: 'm', role: 'user', content: 'x' })
  let hasFired = false
  setTimeout(() => {
    hasFired = true
  }, 20)
  const begun = performance.now()
  while (!hasFired && performance.now() - begun < 5000) await read(storage)
  expect(hasFired).toBe(true)
})
