import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type BlobRecord, openStorage, type StorageConfig } from 'holdfast'
import { afterAll, expect, it } from 'vitest'
import { freshDirectory } from '../../setup/databases.ts'
import { runScript } from '../../setup/processes.ts'
import { rounds, soak } from '../../setup/rounds.ts'
import { quiet } from '../../setup/silent.ts'
import { sha256 } from '../fixture.ts'
import { serve } from './fixture.ts'

type Message = { acknowledged?: BlobRecord; deleting?: string }

const DAY = 86_400_000
const server = await serve()
const config: StorageConfig = {
  database: { type: 'sqlite', path: join(freshDirectory(), 'agent.db') },
  blobStore: { ...server.config, prefix: 'crash' },
}
const open = (now = () => new Date()) => openStorage(config, { ...quiet, now })
const objects = () => [...server.objects.keys()].filter((key) => key.startsWith('crash/objects/'))

afterAll(() => server.close())

const OF_DELETE = ['collect.lock', 'collect.unlink', 'remove.delete', 'collect.commit']
const STEPS: Record<string, string[]> = {
  put: ['stage.create', 'put.reserve', 'commit.put', 'put.insert', 'put.acknowledge'],
  delete: ['delete.remove', 'collect.lock', 'collect.unlink', 'remove.delete', 'collect.commit'],
  cleanup: ['cleanup.select', 'cleanup.remove', 'cleanup.decide', ...OF_DELETE],
  verify: [
    ...['verify.staged', 'verify.damaged', 'quarantine.copy', 'quarantine.delete', 'verify.missing'],
    ...['verify.unreferenced', 'verify.strays', 'remove.delete', 'collect.commit', 'verify.usage'],
  ],
}
/** Steps whose code does not depend on the store, or which a delete takes as well: `npm test` leaves them out. */
const REPEATED = /^cleanup\.|^verify\.(?!usage)/
const steps = Object.entries(STEPS).flatMap(([operation, names]) =>
  names
    .filter((step) => soak || !(REPEATED.test(step) || (operation === 'cleanup' && OF_DELETE.includes(step))))
    .map((step) => [operation, step] as const),
)

it.each(steps)('%s() killed at %s loses no acknowledged blob', async (operation, step) => {
  let argument = randomBytes(8).toString('hex')
  const data = randomBytes(400_000)
  const kept: string[] = []
  {
    await using storage = await open()
    const { id, uri } = await storage.blobs.put(data)
    await storage.messages.append('keeping', { role: 'user', content: uri }) // or a clean-up would take the blob
    kept.push(id)
    if (operation !== 'put') argument = (await storage.blobs.put(randomBytes(300_000))).id
    if (operation === 'verify') damage(await storage.blobs.get(argument))
  }
  const script = runScript('test/blobs/programs/operate.ts', [JSON.stringify(config), operation, step, argument])
  expect(await script.exit, script.output).toMatchObject({ signal: 'SIGKILL' })
  const [id = ''] = kept
  expect((await readRepaired(kept)).get(id)).toBe(sha256(data))
})

it(
  'a process killed at any moment loses no acknowledged blob, and verify() removes its leftovers',
  async () => {
    for (let round = 0; round < rounds(3, 200); round++) {
      const moment = String(20 + Math.floor(Math.random() * 400))
      const script = runScript<Message>('test/blobs/programs/operate.ts', [
        JSON.stringify(config),
        'everything',
        moment,
      ])
      await script.exit
      const deleting = new Set(script.messages.map((message) => message.deleting))
      const acknowledged = script.messages.flatMap(({ acknowledged: record }) => (record ? [record] : []))
      const expected = acknowledged.filter(({ id }) => !deleting.has(id))
      const hashes = await readRepaired(expected.map(({ id }) => id))
      for (const { id, hash } of expected) expect(hashes.get(id)).toBe(hash)
    }
  },
  rounds(120_000, 3_600_000),
)

/** Returns the hashes of the blobs that are read. Expects that after a repair nothing is left over. */
async function readRepaired(ids: string[]): Promise<Map<string, string>> {
  await using storage = await open(() => new Date(Date.now() + 2 * DAY))
  const hashes = new Map<string, string>()
  for (const id of ids) hashes.set(id, sha256(await storage.blobs.bytes(id)))
  const { steps } = await storage.blobs.verify({ repair: true })
  expect(steps.filter(({ found }) => found > 0).map(({ step }) => step)).not.toContain('usage')
  expect(await storage.blobs.verify()).toMatchObject({ ok: true })
  expect(objects()).toHaveLength((await storage.blobs.stats()).contents)
  for (const id of ids) expect(await storage.blobs.exists(id)).toBe(true)
  return hashes
}

/** Creates damaged bytes and a stray object for `verify` to find. */
function damage(record: BlobRecord | undefined): void {
  const key = objects().find((name) => name.includes(record?.hash ?? 'none')) ?? ''
  server.objects.set(key, { bytes: Buffer.from('changed'), storedAt: new Date() })
  const hash = sha256(randomBytes(8))
  const stray = { bytes: Buffer.from('stray'), storedAt: new Date() }
  server.objects.set(`crash/objects/${hash.slice(0, 2)}/${hash}`, stray)
}
