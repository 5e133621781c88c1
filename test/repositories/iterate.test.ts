import { join } from 'node:path'
import { openStorage, type StorageConfig } from 'holdfast'
import { beforeAll, describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'

const MIB = 2 ** 20
const SMALL = 600
const LARGE = 200

const databases: Record<string, () => Promise<StorageConfig['database']>> = {
  sqlite: async () => ({ type: 'sqlite', path: join(freshDirectory(), 'test.db') }),
  postgres: async () => ({ type: 'postgres', url: await freshPostgres() }),
}

describe.each(Object.keys(databases))('%s', (name) => {
  let database: StorageConfig['database']
  beforeAll(async () => {
    database = await databases[name]?.()
    await using storage = await openStorage({ database }, quiet)
    const append = (count: number, content: string) =>
      storage.messages.append(
        's',
        Array.from({ length: count }, () => ({ role: 'user', content })),
      )
    await append(SMALL, 'x') // the size of the first batches says nothing about the later ones
    for (let i = 0; i < LARGE; i += 20) await append(20, 'x'.repeat(MIB))
  }, 60_000)

  const added = async (how: string) => {
    const args = [JSON.stringify(database), 's', how]
    const script = runScript<{ characters: number; added: number }>('test/repositories/programs/iterate.ts', args)
    const [result] = await script.finished()
    expect(result?.characters).toBe(SMALL + LARGE * MIB)
    return result?.added
  }

  it('iterate() adds at most 100 MiB to the process when it yields messages of 1 MiB', { retry: 2 }, async () => {
    expect(await added('iterate')).toBeLessThanOrEqual(100)
  })

  it('a walk in batches of 500 messages adds more', async () => {
    expect(await added('naive')).toBeGreaterThan(100)
  })
})
