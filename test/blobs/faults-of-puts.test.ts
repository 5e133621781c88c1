import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { StorageError } from 'holdfast'
import { expect, test } from 'vitest'
import { LOCAL_STEPS } from '../../src/blobs/bytes/local.ts'
import { BLOB_STEPS } from '../../src/blobs/protocol/store.ts'
import { openLayer } from './layer.ts'
import { eachStore, SHARED } from './stores.ts'

const DAY = 86_400_000

eachStore(SHARED, (_, configure) => {
  test.each(['ENOSPC', 'EIO'])('%s at each step of a put: an error, nothing counted, nothing left', async (errno) => {
    let failing: string | undefined
    const fail = (step: string) => {
      if (step === failing) throw Object.assign(new Error(errno), { code: errno })
    }
    const failStep = (step: string) => {
      if (step === failing) throw new StorageError('DISK_FULL', 'The disk of the database is full')
    }
    const { blobs, bytes, close } = await openLayer(await configure(), { onFileStep: fail, onStep: failStep })
    const kept = await blobs.put(randomBytes(300_000))
    const content = await blobs.bytes(kept.id)
    const before = await blobs.stats()
    const steps = [...LOCAL_STEPS, ...BLOB_STEPS].filter((step) => /^(stage|commit|put)\./.test(step))
    expect(steps.length).toBeGreaterThan(8)
    for (const step of steps) {
      // New bytes, and bytes that another record needs.
      for (const data of [randomBytes(300_000), content]) {
        failing = step
        const error = await blobs.put(data).catch((thrown) => thrown)
        failing = undefined
        const code = step.startsWith('put.') || errno === 'ENOSPC' ? 'DISK_FULL' : 'DATABASE_FAILED'
        expect(error, step).toMatchObject({ name: 'StorageError', code })
        if (step === 'put.acknowledge') continue // it was stored, and only its caller does not know
        expect(await blobs.stats(), step).toEqual(before)
        expect((await blobs.bytes(kept.id)).equals(content)).toBe(true)
      }
    }
    const report = await blobs.verify()
    expect(report).toMatchObject({ ok: true })
    expect(readdirSync(join(String(bytes.path('0'.repeat(64))), '../../../tmp'))).toEqual([])
    await close()
  })

  test('what cannot be removed now is removed by maintenance', async () => {
    let failing = true
    const onFileStep = (step: string) => {
      if (failing && step === 'remove.unlink') throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    const { blobs, steps, close } = await openLayer(await configure(), { onFileStep })
    const before = await blobs.stats()
    const { id } = await blobs.put(randomBytes(1000))
    expect(await blobs.delete(id)).toBe(true)
    expect(await blobs.stats()).toEqual({ ...before, bytes: before.bytes + 1000, contents: before.contents + 1 })
    failing = false
    for (const step of steps) await step.run()
    expect(await blobs.stats()).toEqual(before)
    await close()
  })

  test('a put that is held up past its lease fails, and leaves nothing', async () => {
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
