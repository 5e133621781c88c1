import { randomBytes } from 'node:crypto'
import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BlobRecord, StorageConfig } from 'holdfast'
import { afterAll, describe, expect, it } from 'vitest'
import { freshDirectory, freshPostgres } from '../setup/databases.ts'
import { openLayer } from './layer.ts'
import { serve } from './s3/fixture.ts'

const DAY = 86_400_000

const server = await serve()
afterAll(() => server.close())

const sqlite = () => ({ type: 'sqlite' as const, path: join(freshDirectory(), 'test.db') })
const local = () => ({ type: 'local' as const, storePath: join(freshDirectory(), 'blobs') })

type Layer = Awaited<ReturnType<typeof openLayer>>

/** How a test looks at the bytes of a store, and damages them. */
interface Looks {
  configure(): Promise<StorageConfig>
  damage(layer: Layer, record: BlobRecord): Promise<void>
  /** Returns the names in quarantine. */
  quarantine(config: StorageConfig): string[]
  /** Puts something else into quarantine. */
  leave(config: StorageConfig, name: string): void
  /** The step before bytes are removed. */
  step: string
}

const directoryOf = ({ blobStore }: StorageConfig) =>
  join(String(blobStore?.type === 'local' && blobStore.storePath), 'quarantine')

const files: Omit<Looks, 'configure'> = {
  async damage({ blobs }, { id }) {
    const path = String(await blobs.path(id))
    chmodSync(path, 0o600)
    writeFileSync(path, 'a private thing, damaged')
  },
  quarantine: (config) => readdirSync(directoryOf(config)).toSorted(),
  leave: (config, name) => writeFileSync(join(directoryOf(config), name), ''),
  step: 'remove.unlink',
}

const folderOf = ({ blobStore }: StorageConfig) => `${blobStore?.type === 's3' ? blobStore.prefix : ''}/quarantine/`

const bucket: Omit<Looks, 'configure'> = {
  async damage(_, { hash }) {
    for (const key of server.objects.keys())
      if (key.includes(`objects/${hash.slice(0, 2)}/${hash}`))
        server.objects.set(key, { bytes: Buffer.from('a private thing, damaged'), storedAt: new Date() })
  },
  quarantine(config) {
    const folder = folderOf(config)
    const keys = [...server.objects.keys()].filter((key) => key.startsWith(folder))
    return keys.map((key) => key.slice(folder.length)).toSorted()
  },
  leave: (config, name) =>
    void server.objects.set(folderOf(config) + name, { bytes: Buffer.alloc(0), storedAt: new Date(0) }),
  step: 'remove.delete',
}

describe.each<[string, Looks]>([
  ['files, SQLite', { ...files, configure: async () => ({ database: sqlite(), blobStore: local() }) }],
  [
    'files, PostgreSQL',
    {
      ...files,
      configure: async () => ({ database: { type: 'postgres', url: await freshPostgres() }, blobStore: local() }),
    },
  ],
  ['files, records of their own', { ...files, configure: async () => ({ blobStore: local() }) }],
  [
    'a bucket',
    {
      ...bucket,
      configure: async () => ({
        database: sqlite(),
        blobStore: { ...server.config, prefix: `p-${randomBytes(4).toString('hex')}` },
      }),
    },
  ],
])('with bytes in %s,', (_, { configure, damage, quarantine, leave, step }) => {
  /** Damages the bytes of a blob, and moves them to quarantine. */
  const setAside = async (layer: Layer, record: BlobRecord) => {
    await damage(layer, record)
    await expect(layer.blobs.bytes(record.id)).rejects.toMatchObject({ code: 'BLOB_CORRUPTED' })
  }

  it('erase() removes the bytes in quarantine that no other blob has, and nothing else there', async () => {
    const config = await configure()
    const layer = await openLayer(config)
    const [ada, bob] = [layer.scoped('ada'), layer.scoped('bob')]
    const [own, shared] = [randomBytes(1000), randomBytes(1000)]
    const mine = await ada.put(own)
    const ours = await ada.put(shared)
    await bob.put(shared)
    for (const record of [mine, ours]) await setAside(layer, record)
    await ada.put(own) // heals, but the damaged bytes are still in quarantine
    leave(config, 'notes.txt')
    expect(quarantine(config)).toHaveLength(3)
    while ((await layer.erase('ada', 10)) === 10);
    expect(quarantine(config)).toEqual([expect.stringContaining(ours.hash), 'notes.txt'].toSorted())
    while ((await layer.erase('bob', 10)) === 10);
    expect(quarantine(config)).toEqual(['notes.txt'])
    await layer.close()
  })

  it('erase() removes bytes whose records verify() has removed', async () => {
    const config = await configure()
    const layer = await openLayer(config)
    await setAside(layer, await layer.scoped('ada').put(randomBytes(1000)))
    await layer.blobs.verify({ repair: true, force: true })
    expect(await layer.blobs.stats()).toMatchObject({ count: 0 })
    expect(quarantine(config)).toHaveLength(1)
    expect(await layer.erase('ada', 10)).toBe(0)
    expect(quarantine(config)).toEqual([])
    await layer.close()
  })

  it('erase() that is interrupted before it removes bytes in quarantine removes them when it is repeated', async () => {
    const config = await configure()
    let fails = false
    const layer = await openLayer(config, {
      onFileStep: (found) => {
        if (fails && found === step) throw new Error('interrupted')
      },
    })
    const record = await layer.scoped('ada').put(randomBytes(1000))
    await setAside(layer, record)
    await layer.blobs.verify({ repair: true, force: true })
    fails = true
    await expect(layer.erase('ada', 10)).rejects.toThrow()
    expect(quarantine(config)).toHaveLength(1)
    fails = false
    expect(await layer.erase('ada', 10)).toBe(0)
    expect(quarantine(config)).toEqual([])
    await layer.close()
  })

  it('maintenance removes bytes in quarantine, a day later, if no blob has them', async () => {
    const config = await configure()
    let now = Date.now()
    const layer = await openLayer(config, { now: () => new Date(now) })
    const sweep = () => layer.steps.find(({ name }) => name === 'quarantined-bytes')?.run()
    const [deleted, kept] = [await layer.blobs.put(randomBytes(1000)), await layer.blobs.put(randomBytes(1000))]
    for (const record of [deleted, kept]) await setAside(layer, record)
    await layer.blobs.delete(deleted.id)
    expect(await sweep()).toBe(0) // an administrator has a day to look at them
    now += 2 * DAY
    expect(await sweep()).toBe(1)
    expect(quarantine(config)).toEqual([expect.stringContaining(kept.hash)])
    await layer.blobs.delete(kept.id)
    expect(await sweep()).toBe(0) // it looks once an hour
    now += 3_600_000
    expect(await sweep()).toBe(1)
    expect(quarantine(config)).toEqual([])

    const late = await layer.blobs.put(randomBytes(1000))
    now += 365 * DAY // the clock is wrong for a while
    expect(await sweep()).toBe(0)
    await setAside(layer, late)
    await layer.blobs.delete(late.id)
    now -= 364 * DAY
    expect(await sweep()).toBe(1)
    await layer.close()
  })
})
