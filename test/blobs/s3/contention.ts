import { openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { runScript } from '../../setup/processes.ts'
import { quiet } from '../../setup/silent.ts'

interface Contended {
  /** Returns the configuration of a new database and a new store in the folder `prefix`. */
  configure(prefix: string, maxTotalSize: number): Promise<StorageConfig>
  /** Counts the objects in a folder that hold contents. */
  countObjects(prefix: string): number | Promise<number>
  /** How many calls of each kind each process makes. */
  rounds: number
}

/** Defines the tests of a store in a bucket that several processes use at once. */
export function contentionTests({ configure, countObjects, rounds }: Contended): void {
  it('three processes put, read, delete and collect the same contents without losing any', async () => {
    const config = await configure('race', 200_000)
    const scripts = [1, 2, 3].map((process) =>
      runScript<{ live: string[]; refused: number }>('test/blobs/programs/race.ts', [
        JSON.stringify(config),
        String(rounds),
        `${process}`,
      ]),
    )
    const said = (await Promise.all(scripts.map((script) => script.finished()))).flat()
    await using storage = await openStorage(config, quiet)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect((await storage.blobs.stats()).count).toBe(said.flatMap(({ live }) => live).length)
    for (const { live } of said) for (const id of live) await storage.blobs.delete(id)
    expect(await storage.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    expect(await countObjects('race')).toBe(0)
  })

  it('40 puts of 100 KB at once, from four processes, store exactly the 1 MB of maxTotalSize', async () => {
    const config = await configure('fill', 1_000_000)
    const scripts = [1, 2, 3, 4].map((i) =>
      runScript<string[]>('test/blobs/programs/fill.ts', [JSON.stringify(config), '10', `process ${i}`]),
    )
    const outcomes = (await Promise.all(scripts.map((script) => script.finished()))).flat(2)
    expect(new Set(outcomes)).toEqual(new Set(['stored', 'BLOB_QUOTA_EXCEEDED']))
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(10)
    await using storage = await openStorage(config, quiet)
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect(await countObjects('fill')).toBe(10)
  })
}
