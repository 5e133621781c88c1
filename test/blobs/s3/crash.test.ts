import { randomBytes } from 'node:crypto'
import type { BlobRecord, StorageConfig } from 'holdfast'
import { afterAll, describe } from 'vitest'
import { sharedDatabases } from '../../setup/databases.ts'
import { rounds, soak } from '../../setup/rounds.ts'
import { sha256 } from '../fixture.ts'
import { serve } from './fixture.ts'
import { type Kill, killTests } from './kills.ts'

const server = await serve()

afterAll(() => server.close())

const OF_DELETE = ['collect.lock', 'collect.unlink', 'remove.delete', 'collect.commit']
const STEPS: Record<string, string[]> = {
  put: ['stage.create', 'put.reserve', 'commit.put', 'put.insert', 'put.acknowledge'],
  delete: ['delete.remove', ...OF_DELETE],
  cleanup: ['cleanup.select', 'cleanup.mark', 'cleanup.search', 'cleanup.remove', ...OF_DELETE],
  verify: [
    ...['verify.staged', 'verify.damaged', 'quarantine.copy', 'quarantine.delete', 'verify.missing'],
    ...['verify.unreferenced', 'verify.strays', 'remove.delete', 'collect.commit', 'verify.usage'],
  ],
}
/** Steps whose code does not depend on the store: `npm test` leaves them out. */
const REPEATED = /^cleanup\.|^verify\.(?!usage)/
/**
 * Steps after which the bucket and the database differ: `npm test` takes these alone on PostgreSQL, whose part other tests
 * have.
 */
const BETWEEN = ['put put.insert', 'put put.acknowledge', 'delete collect.unlink', 'cleanup collect.commit']

const everything = Object.entries(STEPS).flatMap(([operation, steps]) => steps.map((step): Kill => [operation, step]))

describe.each(sharedDatabases)('on %s,', (name, database) => {
  const isFirst = name === 'SQLite'
  const kills = everything.filter(([operation, step]) =>
    isFirst ? !REPEATED.test(step) : BETWEEN.includes(`${operation} ${step}`),
  )
  const prefix = `crash-${name}`
  let config: Promise<StorageConfig> | undefined
  const open = async () => ({ database: await database(), blobStore: { ...server.config, prefix } })
  const objects = () => [...server.objects.keys()].filter((key) => key.startsWith(`${prefix}/objects/`))
  killTests(soak ? everything : kills, rounds(isFirst ? 2 : 1, 200), {
    configure() {
      config ??= open()
      return config
    },
    countObjects: () => objects().length,
    damage(record: BlobRecord | undefined) {
      const key = objects().find((name) => name.includes(record?.hash ?? 'none')) ?? ''
      server.objects.set(key, { bytes: Buffer.from('changed'), storedAt: new Date() })
      const hash = sha256(randomBytes(8))
      const stray = { bytes: Buffer.from('stray'), storedAt: new Date() }
      server.objects.set(`${prefix}/objects/${hash.slice(0, 2)}/${hash}`, stray)
    },
  })
})
