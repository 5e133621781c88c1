import { randomBytes } from 'node:crypto'
import { type BlobRecord, openStorage, type StorageConfig } from 'holdfast'
import { expect, it } from 'vitest'
import { runScript } from '../../setup/processes.ts'
import { quiet } from '../../setup/silent.ts'
import { sha256 } from '../fixture.ts'
import { blobsOfKilled } from '../killed.ts'

/** An operation of `programs/operate.ts`, and the step at which the program kills itself. */
export type Kill = readonly [operation: string, step: string]

interface Killed {
  /** Returns the same configuration each time. */
  configure(): StorageConfig | Promise<StorageConfig>
  /** Counts the objects that hold contents. */
  countObjects(): number | Promise<number>
  /** Damages the bytes of a blob, and leaves a stray object, for `verify` to find. */
  damage?(record: BlobRecord | undefined): void
}

const DAY = 86_400_000

/** Defines the tests of a store in a bucket whose programs are killed: at steps, and at `rounds` moments. */
export function killTests(kills: readonly Kill[], rounds: number, { configure, countObjects, damage }: Killed): void {
  const open = async (now = () => new Date()) => openStorage(await configure(), { ...quiet, now })

  it.each(kills)('%s() killed at %s loses no acknowledged blob', async (operation, step) => {
    let argument = randomBytes(8).toString('hex')
    const data = randomBytes(400_000)
    const kept: string[] = []
    {
      await using storage = await open()
      const { id, uri } = await storage.blobs.put(data)
      await storage.messages.append('keeping', { role: 'user', content: uri }) // or a clean-up would take the blob
      kept.push(id)
      if (operation !== 'put') argument = (await storage.blobs.put(randomBytes(300_000))).id
      if (operation === 'verify') damage?.(await storage.blobs.get(argument))
    }
    const config = JSON.stringify(await configure())
    const script = runScript('test/blobs/programs/operate.ts', [config, operation, step, argument])
    expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
    const [id = ''] = kept
    expect((await readRepaired(kept)).get(id)).toBe(sha256(data))
  })

  it('a process killed at any moment loses no acknowledged blob, and verify() removes its leftovers', {
    timeout: 120_000 + rounds * 15_000,
  }, async () => {
    const config = JSON.stringify(await configure())
    for (let round = 0; round < rounds; round++) {
      const expected = await blobsOfKilled(config, [20, 420])
      const hashes = await readRepaired(expected.map(({ id }) => id))
      for (const { id, hash } of expected) expect(hashes.get(id)).toBe(hash)
    }
  })

  /** Returns the hashes of the blobs that are read. Expects that after a repair nothing is left over. */
  async function readRepaired(ids: string[]): Promise<Map<string, string>> {
    await using storage = await open(() => new Date(Date.now() + 2 * DAY))
    const hashes = new Map<string, string>()
    for (const id of ids) hashes.set(id, sha256(await storage.blobs.bytes(id)))
    const { steps } = await storage.blobs.verify({ repair: true })
    expect(steps.filter(({ found }) => found > 0).map(({ step }) => step)).not.toContain('usage')
    expect(await storage.blobs.verify()).toMatchObject({ ok: true })
    expect(await countObjects()).toBe((await storage.blobs.stats()).contents)
    for (const id of ids) expect(await storage.blobs.exists(id)).toBe(true)
    return hashes
  }
}
