import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { PUTS_AT_ONCE } from '../../src/blobs/protocol/staging-gate.ts'
import { signal, times } from '../../src/testing/contract.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'
import { soak } from '../setup/rounds.ts'
import { eachStore, MAIN_RECORDS, SHARED } from './stores.ts'

eachStore(SHARED, (open, configure, name) => {
  it.each(soak && !name.includes('postgres') ? ['root', 'transaction'] : ['root'])(
    '400 puts at once (%s) succeed in a process that may open 300 files, and leave files and sockets to others',
    async (how) => {
      const args = [JSON.stringify(await configure()), freshDirectory(), how]
      const script = runScript('test/blobs/programs/many.ts', args, { openFiles: 300 })
      const [said] = await script.finished()
      expect(said).toMatchObject({ failed: [], failures: 0, count: 400 })
      expect(said).not.toMatchObject({ others: 0 })
      await using storage = await open()
      expect(await storage.blobs.verify()).toMatchObject({ ok: true })
      await storage.blobs.cleanup({ olderThan: new Date(Date.now() + 60_000) })
    },
    120_000,
  )
})

it('400 files staged at once without a limit fail in such a process', async () => {
  const args = [JSON.stringify(await SHARED['local, sqlite']?.()), freshDirectory(), 'naive']
  const [said] = await runScript<object>('test/blobs/programs/many.ts', args, { openFiles: 300 }).finished()
  expect(said).not.toMatchObject({ failures: 0 })
}, 120_000)

eachStore(MAIN_RECORDS, (open) => {
  it('put() reads nothing before its turn, and may be aborted while it waits', async () => {
    await using storage = await open()
    const { reached: released, reach: release } = signal()
    let begun = 0
    async function* source() {
      begun += 1
      await released
      yield randomBytes(10)
    }
    const abort = new AbortController()
    const puts = times(PUTS_AT_ONCE + 1, () => storage.blobs.put(source()))
    const aborted = storage.blobs.put(source(), { signal: abort.signal }).catch((error) => error)
    while (begun < PUTS_AT_ONCE) await new Promise(setImmediate)
    for (const _ of times(20, () => 0)) await new Promise(setImmediate)
    expect(begun).toBe(PUTS_AT_ONCE)
    abort.abort()
    expect(await aborted).toMatchObject({ code: 'ABORTED' })
    release()
    const records = await Promise.all(puts)
    expect(begun).toBe(PUTS_AT_ONCE + 1)
    for (const { id } of records) await storage.blobs.delete(id)
  })

  it('put() of the copy of a stream, 200 at once, does not wait for itself', async () => {
    await using storage = await open()
    const { id } = await storage.blobs.put(randomBytes(300_000))
    const copies = await Promise.all(times(200, async () => storage.blobs.put(await storage.blobs.stream(id))))
    expect(new Set(copies.map(({ hash }) => hash)).size).toBe(1)
    for (const copy of [...copies, { id }]) await storage.blobs.delete(copy.id)
  }, 60_000)

  it('puts whose sources wait for further puts end with TIMEOUT, and later puts succeed', async () => {
    await using storage = await open()
    const idleTimeoutMillis = 500
    async function* nested() {
      const { id } = await storage.blobs.put(randomBytes(10), { idleTimeoutMillis })
      yield Buffer.from(id)
    }
    const outcomes = await Promise.all(
      times(PUTS_AT_ONCE + 1, () => storage.blobs.put(nested(), { idleTimeoutMillis }).catch((error) => error)),
    )
    expect(outcomes.filter(({ code }) => code === 'TIMEOUT').length).toBeGreaterThan(0)
    for (const { code, id } of outcomes) expect(code === 'TIMEOUT' || typeof id === 'string').toBe(true)
    const { id } = await storage.blobs.put(randomBytes(10))
    expect(await storage.blobs.exists(id)).toBe(true)
  })
})
