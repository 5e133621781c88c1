import { type ListMemoriesOptions, openStorage, type StorageConfig } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { rounds } from '../setup/rounds.ts'
import { silent } from '../setup/silent.ts'
import { timesAsLong, type WatchedDatabase, watchedDatabase } from './plans.ts'

const few = 50
const many = rounds(4000, 100_000)

/** Creates `total` memories with one tag, 50 of which have a second, rare tag. */
async function fill({ repositories: { memories }, analyze }: WatchedDatabase, total: number): Promise<void> {
  for (let start = 0; start < total; start += 50) {
    const create = (_: unknown, i: number) => {
      const rare = (start + i) % (total / 50) === 0
      return memories.create({ content: `memory ${start + i}`, tags: [rare ? 'rare' : `other ${i}`, 'common'] })
    }
    await Promise.all(Array.from({ length: 50 }, create))
  }
  await analyze()
}

describe.each(['sqlite', 'postgres'] as const)('%s', (dialect) => {
  let small: WatchedDatabase
  let large: WatchedDatabase
  beforeAll(async () => {
    small = await watchedDatabase(dialect)
    large = await watchedDatabase(dialect)
    await fill(small, few)
    await fill(large, many)
  }, 600_000)
  afterAll(async () => {
    await Promise.all([small.close(), large.close()])
  })

  const filters: [options: ListMemoriesOptions, atMost: number][] = [
    [{ tags: ['rare'] }, 1.5],
    [{ tags: ['rare', 'none'], match: 'any' }, 1.5],
    [{ tags: ['rare'], pinned: false }, 1.5],
    [{ tags: ['common', 'rare'], match: 'all' }, 2.5], // counts at most 1000 uses of each tag
  ]
  it.each(filters)('list(%o) finds 50 of many memories as fast as 50 of 50', async (options, atMost) => {
    const list = ({ repositories: { memories } }: WatchedDatabase) => {
      return async () => {
        const { items } = await memories.list({ ...options, limit: 100 })
        if (items.length !== 50) throw new Error(`${items.length} memories instead of 50`)
      }
    }
    expect(await timesAsLong(list(large), list(small), atMost)).toBeLessThan(atMost)
  })

  it('list() starts at the rarest tag and reads one page by its index', async () => {
    const { memories } = large.repositories
    const { nextCursor } = await memories.list({ tags: ['common'], limit: 5 })
    for (const cursor of [undefined, nextCursor]) {
      const plans = await large.plansOf(() => memories.list({ tags: ['common', 'rare'], limit: 5, cursor }))
      expect(plans).toHaveLength(2)
      for (const plan of plans) {
        expect(plan).toContain('memory_tags_tag')
        expect(plan).not.toMatch(/sort|order by$|scan memor|seq scan|bitmap/i)
      }
    }
    const [all = ''] = await large.plansOf(() => memories.list())
    expect(all).toMatch(/(using memories_created|INDEX memories_created)/i)
    expect(all).not.toMatch(/sort|order by$|seq scan/i)
  })
})

describe('create()', () => {
  /** Creates memories and returns the warnings that are logged. Expects none before the first memory. */
  async function warnings(config: StorageConfig): Promise<string[]> {
    const logged: string[] = []
    const storage = await openStorage(config, {
      logger: { ...silent, warn: (message: string) => logged.push(message) },
    })
    expect(logged).toEqual([])
    await storage.kv.set('a', 1)
    await storage.memories.list()
    expect(logged).toEqual([])
    await storage.memories.create({ content: 'a' })
    await storage.transaction((tx) => tx.memories.create({ content: 'b' }))
    await storage.close()
    return logged
  }

  it('warns once that memories will be lost if the database is in memory', async () => {
    expect(await warnings({})).toEqual([expect.stringMatching(/memories .* lost/i)])
  })

  it('does not warn if the database is a file', async () => {
    expect(await warnings({ database: { type: 'sqlite', path: freshDirectory() } })).toEqual([])
  })
})
