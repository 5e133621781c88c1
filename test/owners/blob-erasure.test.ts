import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { list, sha256 } from '../blobs/fixture.ts'
import { openLayer } from '../blobs/layer.ts'
import { eachStore, MAIN_RECORDS, SEPARATE_RECORDS } from '../blobs/stores.ts'

type Layer = Awaited<ReturnType<typeof openLayer>>

const hashesIn = async ({ bytes }: Layer) => (await list(bytes)).map(({ hash }) => hash)

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS }, (_, configure) => {
  const newOwner = () => `owner-${randomBytes(4).toString('hex')}`

  it('erase() removes all blobs of an owner, some at a time, and the bytes that no other record shares', async () => {
    const layer = await openLayer(await configure())
    const [ada, bob] = [newOwner(), newOwner()]
    expect(await layer.erase(ada, 1000)).toBe(0) // in a database that was never opened as well
    const before = await layer.blobs.stats()
    const [own, withBob, withNobody] = [randomBytes(100), randomBytes(200), randomBytes(300)]
    const adas = layer.scoped(ada)
    for (const data of [own, own, withBob, withNobody]) await adas.put(data)
    await adas.put(randomBytes(50), { expiresAt: new Date(Date.now() + 1) })
    const kept = [await layer.scoped(bob).put(withBob), await layer.blobs.put(withNobody)]
    const counts: number[] = []
    do counts.push(await layer.erase(ada, 2))
    while (counts.at(-1) === 2)
    expect(counts).toEqual([2, 2, 1])
    expect(await adas.stats()).toMatchObject({ count: 0, contents: 0, bytes: 0 })
    for (const { id, size } of kept) expect(await layer.blobs.bytes(id)).toHaveLength(size)
    const hashes = await hashesIn(layer)
    expect([own, withBob, withNobody].map((data) => hashes.includes(sha256(data)))).toEqual([false, true, true])
    expect(await layer.blobs.stats()).toEqual({
      ...before,
      count: before.count + 2,
      contents: before.contents + 2,
      bytes: before.bytes + 500,
    })
    expect((await layer.blobs.verify()).ok).toBe(true)
    expect(await layer.erase(ada, 1000)).toBe(0)
    await layer.close()
  })

  it('erase() that fails before it removes the bytes removes them when it is repeated', async () => {
    const failure = new Error('interrupted')
    let fails = true
    const layer = await openLayer(await configure(), {
      onStep: (step) => {
        if (fails && step === 'collect.lock') throw failure
      },
    })
    const [ada, data] = [newOwner(), randomBytes(100)]
    await layer.scoped(ada).put(data)
    await expect(layer.erase(ada, 1000)).rejects.toBe(failure)
    expect(await layer.scoped(ada).stats()).toMatchObject({ count: 0 })
    expect(await hashesIn(layer)).toContain(sha256(data))
    fails = false
    expect(await layer.erase(ada, 1000)).toBe(0)
    expect(await hashesIn(layer)).not.toContain(sha256(data))
    expect((await layer.blobs.verify()).ok).toBe(true)
    await layer.close()
  })

  it('erase() and puts of the same bytes by another owner at once lose no bytes', async () => {
    const layer = await openLayer(await configure())
    const [ada, bob] = [newOwner(), newOwner()]
    const contents = Array.from({ length: 10 }, () => randomBytes(1000))
    for (const data of contents) await layer.scoped(ada).put(data)
    const puts = contents.map((data) => layer.scoped(bob).put(data))
    expect(await layer.erase(ada, 1000)).toBe(10)
    for (const [i, { id }] of (await Promise.all(puts)).entries()) {
      expect(await layer.scoped(bob).bytes(id)).toEqual(contents[i])
    }
    expect((await layer.blobs.verify()).ok).toBe(true)
    await layer.close()
  })
})
