import { openStorage, type StorageConfig } from 'holdfast'
import { beforeAll, describe, expect, it } from 'vitest'
import { sharedDatabases } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { quiet } from '../setup/silent.ts'

const MIB = 2 ** 20
const SMALL = 600
const LARGE = 200

describe.each(sharedDatabases)('on %s', (_, configure) => {
  let database: StorageConfig['database']
  beforeAll(async () => {
    database = await configure()
    await using storage = await openStorage({ database }, quiet)
    const append = (count: number, content: string) =>
      storage.messages.append(
        's',
        Array.from({ length: count }, () => ({ role: 'user', content })),
      )
    await append(SMALL, 'x') // the size of the first batches says nothing about the later ones
    for (let i = 0; i < LARGE; i += 20) await append(20, 'x'.repeat(MIB))
  }, 60_000)

  /** Returns the MiB that a walk adds to the process. */
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

  // The naive variant.
  it('list() in batches of 500 messages adds more than 100 MiB', async () => {
    expect(await added('naive')).toBeGreaterThan(100)
  })
})
