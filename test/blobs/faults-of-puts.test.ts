import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type BlobRecord, StorageError } from 'holdfast'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOCAL_STEPS } from '../../src/blobs/bytes/local.ts'
import { BLOB_STEPS } from '../../src/blobs/protocol/store.ts'
import { firstOf } from './fixture.ts'
import { openLayer } from './layer.ts'
import { eachStore, SHARED } from './stores.ts'

const DAY = 86_400_000
/** Steps of which a put of a stored content does not need the outcome: it keeps the object. */
const KEEPING: string[] = ['stage.sync', 'commit.open', 'commit.rename', 'commit.sync']
const PUT_STEPS = [...LOCAL_STEPS, ...BLOB_STEPS].filter((step) => /^(stage|commit|put)\./.test(step))

eachStore(SHARED, (_, configure) => {
  describe.each(['ENOSPC', 'EIO'])('put() when a step fails with %s', (errno) => {
    let failing: string | undefined
    let layer: Awaited<ReturnType<typeof openLayer>>
    let kept: BlobRecord
    let content: Buffer

    beforeAll(async () => {
      expect(PUT_STEPS.length).toBeGreaterThan(8)
      const onFileStep = (step: string) => {
        if (step === failing) throw Object.assign(new Error(errno), { code: errno })
      }
      const onStep = (step: string) => {
        if (step === failing) throw new StorageError('DISK_FULL', 'The disk of the database is full')
      }
      layer = await openLayer(await configure(), { onFileStep, onStep })
      kept = await layer.blobs.put(randomBytes(300_000))
      content = await layer.blobs.bytes(kept.id)
    })

    afterAll(() => layer.close())

    it.each(
      PUT_STEPS.flatMap((step) => [
        [step, 'new'],
        ...(KEEPING.includes(step) ? [] : [[step, 'shared'] as [string, string]]),
      ]),
    )('reports the error at %s, and neither counts nor leaves anything, with %s content', async (step, kind) => {
      const { blobs } = layer
      const before = await blobs.stats()
      failing = step
      const error = await blobs.put(kind === 'new' ? randomBytes(300_000) : content).catch((thrown) => thrown)
      failing = undefined
      const code = step.startsWith('put.') || errno === 'ENOSPC' ? 'DISK_FULL' : 'DATABASE_FAILED'
      expect(error).toMatchObject({ name: 'StorageError', code })
      // At put.acknowledge the blob is stored; only the caller does not learn of it.
      if (step !== 'put.acknowledge') expect(await blobs.stats()).toEqual(before)
      expect((await blobs.bytes(kept.id)).equals(content)).toBe(true)
    })

    it('leaves nothing for verify() to find, and no staged file', async () => {
      expect(await layer.blobs.verify()).toMatchObject({ ok: true })
      expect(readdirSync(join(String(layer.bytes.path(firstOf('0'.repeat(64)))), '../../../tmp'))).toEqual([])
    })
  })

  it('maintenance removes the bytes that delete() could not remove', async () => {
    let failing = true
    const onFileStep = (step: string) => {
      if (failing && step === 'remove.unlink') throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    const { blobs, steps, close } = await openLayer(await configure(), { onFileStep })
    const before = await blobs.stats()
    const { id } = await blobs.put(randomBytes(1000))
    expect(await blobs.delete(id)).toBe(true)
    expect(await blobs.stats()).toEqual({ ...before, bytes: before.bytes + 1000, contents: before.contents })
    failing = false
    for (const step of steps) await step.run()
    expect(await blobs.stats()).toEqual(before)
    await close()
  })

  it('put() fails with TIMEOUT and leaves nothing when its reservation has expired', async () => {
    let now = Date.now()
    const config = await configure()
    const other = await openLayer(config, { now: () => new Date(now) })
    const before = await other.blobs.stats()
    const slow = await openLayer(config, {
      now: () => new Date(now),
      async onStep(step) {
        if (step !== 'put.insert') return
        now += DAY
        for (const { run } of other.steps) await run()
      },
    })
    await expect(slow.blobs.put(randomBytes(1000))).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true })
    expect(await other.blobs.stats()).toEqual(before)
    expect(await other.blobs.verify()).toMatchObject({ ok: true })
    await Promise.all([slow.close(), other.close()])
  })
})
