import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { quarantineName } from '../../src/blobs/bytes/backend.ts'
import { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { withFaults } from '../../src/testing/faults.ts'
import { pinFile } from '../database/small-disk.ts'
import { freshDirectory } from '../setup/databases.ts'
import { list } from './fixture.ts'
import { openLayer } from './layer.ts'

const later = () => new Date(Date.now() + 2 * 86_400_000)
const denied = new Error('denied')

/** Opens a layer whose store does not remove one object, chosen by `deny`. */
async function openDenying(options: { maxTotalSize?: number } = {}) {
  const storePath = join(freshDirectory(), 'blobs')
  const bytes = await LocalBytes.open({ storePath })
  let kept: string | undefined
  let isStopped = false
  const faulty = withFaults(bytes, ({ name, args: [location] }) =>
    name === 'remove' && Object(location).hash === kept ? { before: denied } : undefined,
  )
  const layer = await openLayer(
    { blobStore: { type: 'local', storePath, ...options } },
    {
      bytes: faulty,
      now: later,
      onStep(step) {
        if (isStopped && step === 'collect.unlink') throw new Error('stopped')
      },
    },
  )
  const run = (step: string) => layer.steps.find(({ name }) => name === step)?.run()
  const deny = (hashes: readonly string[]) => {
    kept = hashes.toSorted()[0]
  }
  /** Puts and deletes blobs, whose collector stops. */
  const leave = async (count: number) => {
    const hashes: string[] = []
    for (let i = 0; i < count; i++) {
      const { id, hash } = await layer.blobs.put(randomBytes(100))
      isStopped = true
      await layer.blobs.delete(id)
      isStopped = false
      hashes.push(hash)
    }
    return hashes
  }
  return { layer, bytes, storePath, run, deny, leave }
}

it('maintenance removes the other contents that nothing needs if one cannot be removed', async () => {
  const { layer, run, deny, leave } = await openDenying()
  deny(await leave(5))
  await expect(run('unneeded-bytes')).rejects.toBe(denied)
  expect(await layer.blobs.stats()).toMatchObject({ bytes: 100 })
  expect(await list(layer.bytes)).toHaveLength(1)
  deny([])
  await run('unneeded-bytes')
  expect(await layer.blobs.stats()).toMatchObject({ bytes: 0 })
  await layer.close()
})

it('put() takes the room of contents that nothing needs, also if one of them cannot be removed', async () => {
  const { layer, deny, leave } = await openDenying({ maxTotalSize: 500 })
  deny(await leave(5))
  await layer.blobs.put(randomBytes(400))
  await expect(layer.blobs.put(randomBytes(400))).rejects.toMatchObject({ code: 'BLOB_QUOTA_EXCEEDED' })
  await layer.close()
})

it('maintenance removes the other strays if one cannot be removed', async () => {
  const { layer, bytes, run, deny, leave } = await openDenying()
  deny(await leave(5))
  const { orm, tables } = layer.database
  await orm.delete(tables.blobRemovals)
  for (const location of await list(bytes)) utimesSync(bytes.path(location), 0, 0)
  await expect(run('stray-bytes')).rejects.toBe(denied)
  expect(await list(bytes)).toHaveLength(1)
  await layer.close()
})

it('maintenance removes the other bytes in quarantine if some cannot be removed', async () => {
  const { layer, bytes, storePath, run } = await openDenying()
  const nameOf = (digits: string) => quarantineName({ hash: digits.repeat(32), generation: '0123456789abcdef' })
  const pathOf = (digits: string) => join(storePath, 'quarantine', nameOf(digits))
  mkdirSync(join(pathOf('11'), 'a directory cannot be unlinked'), { recursive: true })
  for (const digits of ['00', '22', '33']) writeFileSync(pathOf(digits), 'damaged')
  await expect(run('quarantined-bytes')).rejects.toMatchObject({ code: 'DATABASE_FAILED' })
  const left = []
  for await (const { hash } of bytes.quarantined()) left.push(hash)
  expect(left).toEqual(['11'.repeat(32)])
  await layer.close()
})

it('maintenance removes the other staged bytes if some cannot be removed', async () => {
  const { layer, storePath, run } = await openDenying()
  for (let i = 0; i < 6; i++) {
    const path = join(storePath, 'tmp', `left-${i}`)
    writeFileSync(path, 'staged')
    utimesSync(path, 0, 0)
  }
  const [first = ''] = readdirSync(join(storePath, 'tmp')) // in the order in which they are removed
  if (pinFile(join(storePath, 'tmp', first))) {
    await expect(run('staged-bytes')).rejects.toMatchObject({ code: 'DATABASE_FAILED', details: { errno: 'EBUSY' } })
    expect(readdirSync(join(storePath, 'tmp'))).toEqual([first])
  } else console.warn('Nothing can be mounted here: no file can be made one that cannot be removed')
  await layer.close()
})

it('verify() with repair removes the other contents, strays and staged bytes, counts again, and then fails', async () => {
  const { layer, bytes, storePath, deny, leave } = await openDenying()
  const { orm, tables } = layer.database
  deny(await leave(5))
  for (const digits of ['11', '22', '33']) {
    const location = { hash: digits.repeat(32), generation: '', size: 5 }
    writeFileSync(bytes.path(location), 'stray')
  }
  writeFileSync(join(storePath, 'tmp', 'left'), 'staged')
  utimesSync(join(storePath, 'tmp', 'left'), 0, 0)
  await orm.update(tables.blobUsage).set({ used: 1000 })
  await expect(layer.blobs.verify({ repair: true })).rejects.toBe(denied)
  expect(readdirSync(join(storePath, 'tmp'))).toEqual([])
  expect(await list(bytes)).toHaveLength(1)
  expect(await layer.blobs.stats()).toMatchObject({ count: 0, contents: 0, bytes: 100 })
  deny([])
  await layer.blobs.verify({ repair: true })
  expect(await layer.blobs.verify()).toMatchObject({ ok: true })
  await layer.close()
})
